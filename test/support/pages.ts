import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chromium, type Page } from 'playwright-core';
import { afterTest } from './cleanup.ts';
import { requireTool } from './tools.ts';

/** A page in Chromium that a server on `host` serves. Names that end in .test lead to this machine. */
export async function openPage(host = '127.0.0.1'): Promise<{ page: Page; origin: string }> {
  const server = createServer((_, response) => response.end('<!doctype html><title>page</title>'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const browser = await chromium.launch({
    executablePath: requireTool('chromium'),
    args: ['--no-sandbox', '--host-resolver-rules=MAP *.test 127.0.0.1'],
  });
  afterTest(() => {
    void browser.close();
    server.close();
    server.closeAllConnections();
  });
  const page = await browser.newPage();
  const origin = `http://${host}:${(server.address() as AddressInfo).port}`;
  await page.goto(origin);
  return { page, origin };
}

/** Has the page connect: the subprotocol that was answered, or undefined when it could not; `text` is sent. */
export async function connectPage(
  page: Page,
  url: string,
  protocols: readonly string[] = [],
  text = 'from the page',
): Promise<string | undefined> {
  const result = await page.evaluate(
    `new Promise((resolve) => {
      const socket = new WebSocket(${JSON.stringify(url)}, ${JSON.stringify(protocols)});
      socket.onerror = () => resolve(null);
      socket.onopen = () => { socket.send(${JSON.stringify(text)}); resolve(socket.protocol); };
    })`,
  );
  return typeof result === 'string' ? result : undefined;
}
