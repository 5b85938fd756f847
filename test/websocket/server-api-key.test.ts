import { expect, test } from 'vitest';
import type { Run } from '../support/engine.ts';
import { extOf, handshake, startServer, statusOf } from '../support/handshakes.ts';
import { connectPage, openPage } from '../support/pages.ts';
import { connectClient, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { python } from '../support/tools.ts';

const dir = tempDir();

/** The answer to a handshake that offers `protocols`; `protocol` is undefined if there is none. */
async function offer(
  url: string,
  protocols: string,
): Promise<{ status: number; protocol?: string | undefined }> {
  const { status, peer } = await handshake(url, { 'Sec-WebSocket-Protocol': protocols });
  return { status, protocol: peer.header('sec-websocket-protocol') };
}

const withPrefix = (fields = ''): Promise<Run> =>
  startServer(
    `auth: { type: api_key, keys: ["5ecret-1 web", plain-5ecret], subprotocol: key. }, limits: { failed_logins: 1000 }, ${fields}`,
  );

test('a key in the header that `header` names, of the configuration or a file', async () => {
  const file = dir.file('keys', 'file-key warehouse 3\n');
  const run = await startServer(`auth: { type: api_key, keys: [plain], keys_file: "${file}" }`);
  const url = await run.url();
  expect(await extOf(run, url, { 'X-API-Key': 'file-key' })).toMatchObject({ subject: 'warehouse 3' });
  expect(await extOf(run, url, { 'x-api-key': 'plain' })).not.toHaveProperty('subject');
  const { status, head } = await handshake(url, { 'X-API-Key': 'warehouse 3' });
  expect([status, head]).toEqual([
    401,
    expect.stringContaining('\r\nWWW-Authenticate: ApiKey realm="millrace"'),
  ]);
  expect(await statusOf(`${url}?x-api-key=plain`)).toBe(401);
  expect(await statusOf(url, { 'Sec-WebSocket-Protocol': 'plain' })).toBe(401);
  expect(await statusOf(url, { 'X-API-Key': '' })).toBe(401);

  const other = await startServer('auth: { type: api_key, keys: [plain], header: X-Device-Token }');
  expect(await statusOf(await other.url(), { 'x-device-token': 'plain' })).toBe(101);
  expect(await statusOf(await other.url(), { 'x-api-key': 'plain' })).toBe(401);
});

test('Python’s websockets sends it in a header, and as a subprotocol', async () => {
  const run = await withPrefix('protocols: [v2, v1]');
  const script = `
import asyncio, sys
async def main():
    async with websockets.connect(sys.argv[1], additional_headers={"X-API-Key": "5ecret-1"}) as ws:
        await ws.send("by header")
        print("none", ws.subprotocol)
    async with websockets.connect(sys.argv[1], subprotocols=["key.5ecret-1", "v1"]) as ws:
        await ws.send("by subprotocol")
        print("one", ws.subprotocol)
    async with websockets.connect(sys.argv[1], subprotocols=["key.5ecret-1"]) as ws:
        await ws.send("alone")
        print("alone", ws.subprotocol)
asyncio.run(main())
`;
  const client = python(script, await run.url());
  await client.line(/^alone None$/);
  expect(client.lines).toEqual(['none None', 'one v1', 'alone None']);
  await run.output().count(3);
  expect(run.output().messages.map(({ ext }) => [ext['subject'], ext['protocol']])).toEqual([
    ['web', ''],
    ['web', 'v1'],
    ['web', ''],
  ]);
});

test('a subprotocol that holds a key is never the answer; another one is', async () => {
  const listed = await (await withPrefix('protocols: [v2, v1]')).url();
  expect(await offer(listed, 'key.5ecret-1, v1')).toEqual({ status: 101, protocol: 'v1' });
  expect(await offer(listed, 'v1,v2,key.5ecret-1')).toEqual({ status: 101, protocol: 'v2' });
  expect(await offer(listed, 'key.5ecret-1, v9')).toEqual({ status: 101, protocol: undefined });
  const open = await (await withPrefix()).url();
  expect(await offer(open, 'key.5ecret-1, chat, other')).toEqual({ status: 101, protocol: 'chat' });
  expect(await offer(open, 'chat, key.plain-5ecret')).toEqual({ status: 101, protocol: 'chat' });
  expect(await offer(open, 'key.5ecret-1, key.x, chat')).toEqual({ status: 101, protocol: 'chat' });
});

test('keys in subprotocols that are wrong, empty or second are refused', async () => {
  const url = await (await withPrefix()).url();
  const refused = [
    'key.wrong, chat',
    'key., chat',
    'key.5ecret',
    'KEY.5ecret-1',
    '5ecret-1',
    'key.x, key.5ecret-1',
  ];
  for (const protocols of refused)
    expect([protocols, (await offer(url, protocols)).status]).toEqual([protocols, 401]);
});

test('without `subprotocol`, subprotocols hold no key and are answered as ever', async () => {
  const run = await startServer('auth: { type: api_key, keys: [k3y-5] }, protocols: [key.k]');
  const { peer, status } = await handshake(await run.url(), {
    'X-Api-Key': 'k3y-5',
    'Sec-WebSocket-Protocol': 'key.k',
  });
  expect([status, peer.header('sec-websocket-protocol')]).toEqual([101, 'key.k']);
});

test('a page in Chromium connects with a key in a subprotocol or the URL, and cannot with a wrong one', async () => {
  const run = await startServer(
    'auth: { type: api_key, keys: ["5ecret-1 web"], subprotocol: key., query: api_key }, allowed_origins: ["*"], metadata: { query: [room] }',
  );
  const url = await run.url();
  const { page } = await openPage();
  expect(await connectPage(page, url, ['key.5ecret-1', 'chat'], 'by subprotocol')).toBe('chat');
  expect(await connectPage(page, `${url}?room=lab&api_key=5ecret-1`, [], 'by query')).toBe('');
  expect(await connectPage(page, url, ['key.wrong', 'chat'])).toBeUndefined();
  expect(await connectPage(page, url, ['chat'])).toBeUndefined();
  await run.output().count(2);
  const [first, second] = run.output().messages.map(({ ext }) => ext);
  expect(first).toMatchObject({ subject: 'web', protocol: 'chat' });
  expect(second).toMatchObject({ subject: 'web', protocol: '', 'query.room': 'lab' });
  // A browser gives up where it offered subprotocols and got none: the log says what it should have offered.
  expect(await connectPage(page, url, ['key.5ecret-1'])).toBeUndefined();
  const line = await run.logged(/a client offers its key and no other subprotocol/);
  expect(line.level).toBe(40);
  const metrics = (await run.http('/metrics')).text;
  expect(JSON.stringify([run.log, first, second]) + metrics).not.toContain('5ecret');
}, 60_000);

test('the library ws connects with a key beside its subprotocol', async () => {
  const run = await withPrefix('protocols: [v1]');
  const client = await connectClient(await run.url(), { protocols: ['v1', 'key.plain-5ecret'] });
  expect(client.socket.protocol).toBe('v1');
  await send(client, 'hello');
  expect(await run.output().count(1)).toEqual(['hello']);
  expect(run.output().messages[0]!.ext).not.toHaveProperty('subject');
});
