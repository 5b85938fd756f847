import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pathToFileURL } from 'node:url';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { configMistakes, startEngine, type Run } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { requireTool, testWith } from '../support/tools.ts';
import { until } from '../support/until.ts';

const examples = new URL('../../examples', import.meta.url).pathname;
const html = pathToFileURL(join(examples, 'chat.html')).href;
/** The folder for screenshots, to look at the page. */
const pictures = process.env['MILLRACE_TEST_PICTURES'];

const test = testWith('chromium');
let browser: Browser;
beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: requireTool('chromium'),
    args: ['--no-sandbox'],
  });
});
afterAll(async () => {
  await browser.close();
});

/** The example as it stands, but for its port: the other examples have that too. */
function chat(port = 0): Promise<Run> {
  const yaml = readFileSync(join(examples, 'chat.yaml'), 'utf8');
  expect(configMistakes(yaml)).toEqual([]);
  expect(yaml).toContain('port: 8080');
  return startEngine(yaml.replace('port: 8080', `port: ${port}`));
}

/** Opens the page from disk, as the example says, and joins. */
async function enter(port: number, name: string, room: string, options = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 760, height: 640 }, ...options });
  afterTest(() => void context.close().catch(() => {}));
  const page = await context.newPage();
  await page.goto(`${html}?server=ws://127.0.0.1:${port}`);
  await page.getByLabel('Your name').fill(name);
  await page.getByLabel('Room').fill(room);
  await page.getByRole('button', { name: 'Join' }).click();
  await page.getByText('Connected', { exact: true }).waitFor();
  await sees(page, 'You joined');
  return page;
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel('Message', { exact: true }).fill(text);
  await page.keyboard.press('Enter');
}

/** The log that the page shows, a line for each entry: `name: text`, or an event. */
async function log(page: Page): Promise<string[]> {
  return await page.locator('#log li').evaluateAll((items) =>
    items.map((item) => {
      const text = item.querySelector('.text');
      return text === null
        ? item.textContent
        : `${item.querySelector('b')!.textContent}: ${text.textContent}`;
    }),
  );
}

async function sees(page: Page, line: string): Promise<void> {
  let last: string[] = [];
  await until(`"${line}"`, async () => (last = await log(page)).includes(line), {
    timeout: 20_000,
    state: () => JSON.stringify(last),
  });
}

async function picture(page: Page, name: string): Promise<void> {
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`) });
}

test('three pages in two rooms see their own room, in order, with arrivals and departures', async () => {
  const run = await chat();
  const port = await run.port('chat');
  const ada = await enter(port, 'Ada', 'lobby');
  const grace = await enter(port, 'Grace', 'lobby', { colorScheme: 'dark' });
  const alan = await enter(port, 'Alan', 'a/b & c');
  await sees(ada, 'Grace joined');

  await say(ada, 'Hello, is anybody here?');
  await sees(grace, 'Ada: Hello, is anybody here?');
  await say(grace, 'Yes! Good morning. I have been reading the log of last night’s run.');
  await say(grace, '<img src=x onerror="document.title=\'owned\'"> <b>not bold</b>');
  await sees(ada, 'Grace: <img src=x onerror="document.title=\'owned\'"> <b>not bold</b>');
  await say(alan, 'alone in here');
  await sees(alan, 'You: alone in here');
  for (let number = 1; number <= 5; number++) await say(ada, `line ${number}`);
  await sees(grace, 'Ada: line 5');
  await picture(ada, 'light');
  await picture(grace, 'dark');

  await alan.getByRole('button', { name: 'Leave' }).click();
  await alan.getByRole('button', { name: 'Join' }).waitFor();
  await grace.close();
  await sees(ada, 'Grace left');

  expect(await log(ada)).toEqual([
    'You joined',
    'Grace joined',
    'You: Hello, is anybody here?',
    'Grace: Yes! Good morning. I have been reading the log of last night’s run.',
    'Grace: <img src=x onerror="document.title=\'owned\'"> <b>not bold</b>',
    ...[1, 2, 3, 4, 5].map((number) => `You: line ${number}`),
    'Grace left',
  ]);
  // No text was taken for markup.
  expect(await ada.title()).toBe('lobby – Chat');
  expect(await ada.locator('#log :is(img, .text b)').count()).toBe(0);
}, 90_000);

test('a page reconnects after the server was away, and says so meanwhile', async () => {
  const port = await freePort();
  const first = await chat(port);
  const ada = await enter(port, 'Ada', 'lobby');
  await first.stop();
  await ada
    .getByText(/^The server stopped, trying again|^No connection, trying again|^Connecting again/)
    .waitFor();
  await ada.getByLabel('Message', { exact: true }).fill('kept while it is away');
  expect(await ada.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
  await picture(ada, 'away');
  await chat(port);
  await ada.getByText('Connected', { exact: true }).waitFor({ timeout: 40_000 });
  await ada.getByRole('button', { name: 'Send' }).click();
  await sees(ada, 'You: kept while it is away');
}, 90_000);

test('the page can be used on a phone, with the keyboard alone, and a link leads back to the room', async () => {
  const run = await chat();
  const port = await run.port('chat');
  const context = await browser.newContext({ viewport: { width: 360, height: 640 } });
  afterTest(() => void context.close().catch(() => {}));
  const page = await context.newPage();
  await page.goto(`${html}?server=ws://127.0.0.1:${port}`);
  await picture(page, 'join');
  await page.keyboard.type('Zoë 😀');
  await page.keyboard.press('Tab');
  await page.keyboard.type('kitchen');
  await page.keyboard.press('Enter');
  await sees(page, 'You joined');
  await page.keyboard.type('long '.repeat(60) + 'x'.repeat(100));
  await page.keyboard.press('Enter');
  await until('the message', async () => (await log(page)).length === 2);
  await picture(page, 'phone');
  // Nothing is wider than the screen.
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  await page.reload();
  await page.getByText('Connected', { exact: true }).waitFor();
  expect(await page.getByRole('heading').textContent()).toBe('# kitchen');
}, 90_000);

test('nobody speaks for another, joins for another, or connects from a page of some other site', async () => {
  const run = await chat();
  const port = await run.port('chat');
  const page = await enter(port, 'Ada', 'lobby');
  const forger = await connectClient(`ws://127.0.0.1:${port}/chat/lobby?name=Mallory`);
  await send(
    forger,
    '{"text":"I am Ada","name":"Ada","sender":"x","kind":"join","event":"session_opened","__meta_ext":{"event":"session_opened"}}',
    '{"event":"session_closed"}',
    'not JSON',
    '{"text":"   "}',
    '{"text":"the end"}',
  );
  await sees(page, 'Mallory: the end');
  expect(await log(page)).toEqual(['You joined', 'Mallory joined', 'Mallory: I am Ada', 'Mallory: the end']);

  const site = createServer((_, response) => response.end('<!doctype html><title>elsewhere</title>'));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  afterTest(() => {
    site.close();
    site.closeAllConnections();
  });
  const elsewhere = await page.context().newPage();
  await elsewhere.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}`);
  const answer = await elsewhere.evaluate(`new Promise((resolve) => {
    const socket = new WebSocket('ws://127.0.0.1:${port}/chat/lobby?name=Eve');
    socket.onopen = () => resolve('open');
    socket.onclose = () => resolve('closed');
  })`);
  expect(answer).toBe('closed');
  await run.metricIs(1, 'millrace_connections_refused_total', 'status="403"');
}, 60_000);
