import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { chromium } from 'playwright-core';
import { expect, test } from 'vitest';
import { afterTest } from '../support/cleanup.ts';
import { startEngine } from '../support/engine.ts';
import { batchOf, open, runOn } from '../sql/support.ts';
import { requireTool } from '../support/tools.ts';

test('a page in Chromium sends text, blobs and buffers to a server input, and sees the close at shutdown', async () => {
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /page, protocols: [page.v1], allowed_origins: ['*'], metadata: { headers: [origin] } }
    output: { type: collect }
`);
  const pages = createServer((_, response) => response.end('<!doctype html><title>sender</title>')).listen(
    0,
    '127.0.0.1',
  );
  await once(pages, 'listening');
  const origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
  const browser = await chromium.launch({
    executablePath: requireTool('chromium'),
    args: ['--no-sandbox'],
  });
  afterTest(() => {
    void browser.close();
    pages.close();
    pages.closeAllConnections();
  });
  const page = await browser.newPage();
  await page.goto(origin);
  const protocol = await page.evaluate(`
    new Promise((resolve, reject) => {
      const socket = new WebSocket(${JSON.stringify(await run.url())}, ['page.v0', 'page.v1']);
      window.ended = new Promise((end) => {
        socket.onclose = ({ code, reason, wasClean }) => end({ code, reason, wasClean });
      });
      socket.onerror = () => reject(new Error('the page could not connect'));
      socket.onopen = () => {
        socket.send('from the page: grüße 😀');
        socket.send(new Uint8Array([0, 255]));
        socket.send(new Blob(['blob']));
        socket.send('');
        socket.send('x'.repeat(500000));
        resolve(socket.protocol);
      };
    })
  `);
  expect(protocol).toBe('page.v1');
  await run.output().count(5);
  const { messages } = run.output();
  expect(messages.map(({ payload }) => Buffer.from(payload).toString('latin1'))).toEqual([
    Buffer.from('from the page: grüße 😀').toString('latin1'),
    '\x00\xff',
    'blob',
    '',
    'x'.repeat(500_000),
  ]);
  expect(messages.map(({ ext }) => ext['message_type'])).toEqual([
    'text',
    'binary',
    'binary',
    'text',
    'text',
  ]);
  expect(messages[0]!.ext['header.origin']).toBe(origin);
  // The times of metadata are the same moments in a page, whatever time zone the query has.
  const { query } = await open(
    'SELECT __meta_ingest_time AS received, __meta_event_time AS happened FROM flow',
    { timezone: 'Asia/Kolkata' },
  );
  const [received, happened] = [1_767_297_600_001, 1_700_000_000_123];
  const runs = [{ start: 0, origin: { source: 's', ext: {} }, time: received * 1000 }];
  const batch = batchOf(['{}'], { runs }).withMeta('event_time', Float64Array.of(happened * 1000));
  const { rows } = await runOn(query, batch);
  expect(await page.evaluate(`Object.values(${rows[0]}).map((time) => new Date(time).getTime())`)).toEqual([
    received,
    happened,
  ]);
  await run.stop();
  expect(await page.evaluate('window.ended')).toEqual({ code: 1001, reason: 'going away', wasClean: true });
}, 60_000);
