import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { cookbook, readRecipe } from '../support/recipe.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool, testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
const html = pathToFileURL(join(cookbook, 'dashboard.html')).href;
/** The folder for screenshots, to look at the page. */
const pictures = process.env['MILLRACE_TEST_PICTURES'];

const test = testWith('chromium');
let browser: Browser;
beforeAll(async () => {
  browser = await chromium.launch({ executablePath: requireTool('chromium'), args: ['--no-sandbox'] });
});
afterAll(async () => {
  await browser.close();
});

function recipe(name: string, port: number): string {
  return readRecipe(name, dir.path, { 'port: 8080': `port: ${port}` })[0];
}

async function open(port: number, width: number, colorScheme: 'light' | 'dark'): Promise<Page> {
  const context = await browser.newContext({ viewport: { width, height: 640 }, colorScheme });
  const page = await context.newPage();
  await page.goto(`${html}?server=ws://127.0.0.1:${port}`);
  return page;
}

/** The text of a card, once the rows of all readings are there. */
async function sees(page: Page, sensor: string, ...facts: string[]): Promise<void> {
  let text = '';
  await until(
    `${sensor}: ${facts.join()}`,
    async () => {
      const card = page
        .locator('li')
        .filter({ has: page.getByRole('heading', { name: sensor, exact: true }) });
      text = (await card.count()) === 0 ? '' : await card.innerText();
      return facts.every((fact) => text.includes(fact));
    },
    { state: () => text },
  );
}

test('every page shows the averages of the last second, and reconnects by itself', async () => {
  const port = await freePort();
  const run = await startEngine(recipe('dashboard.yaml', port));
  const pages = [await open(port, 900, 'light'), await open(port, 360, 'dark')];
  for (const page of pages) await page.getByText('Live', { exact: true }).waitFor();
  const device = await connectClient(`ws://127.0.0.1:${port}/readings`);
  await send(
    device,
    '{"sensor":"roof","temperature":21.5}',
    '{"sensor":"<b>cellar</b>","temperature":12}',
    '{"sensor":"roof","temperature":"hot"}',
  );
  for (const page of pages) {
    await sees(page, 'roof', '21.5', 'lowest', 'readings');
    await sees(page, '<b>cellar</b>', '12.0');
    // In the order of their names, and nothing is taken for markup or wider than the screen.
    expect(await page.getByRole('heading', { level: 2 }).allTextContents()).toEqual([
      '<b>cellar</b>',
      'roof',
    ]);
    expect(await page.locator('li b').count()).toBe(0);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  }
  if (pictures !== undefined)
    for (const [index, page] of pages.entries())
      await page.screenshot({ path: join(pictures, `dashboard-${index}.png`) });

  await run.stop();
  await pages[0]!.getByText('No connection, trying again…').waitFor();
  await startEngine(recipe('dashboard.yaml', port));
  await pages[0]!.getByText('Live', { exact: true }).waitFor();
  await send(await connectClient(`ws://127.0.0.1:${port}/readings`), '{"sensor":"roof","temperature":30}');
  await sees(pages[0]!, 'roof', '30.0');
}, 90_000);
