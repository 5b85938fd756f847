import { writeFileSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { FaultServer } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';

const quick = 'reconnect: { initial: 1ms, max: 5ms }';
const input = (fields: string): string => `
streams:
  - input: { type: websocket, ${fields}, ${quick} }
    output: { type: collect }
`;

/** Refuses until `attempts` have come, then accepts and sends one message. */
function acceptsAfter(attempts: number): Promise<FaultServer> {
  const server = new FaultServer((peer) => {
    if (server.peers.length < attempts) peer.socket.end('HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n');
    else peer.accept({ then: frame('text', 'in'), ...protocolOf(peer.header('sec-websocket-protocol')) });
  });
  return server.up();
}

function protocolOf(offered: string | undefined): { protocol?: string } {
  return offered === undefined ? {} : { protocol: offered.split(',')[0]! };
}

test('url, query, headers and subprotocols are filled in afresh at every attempt', async () => {
  const dir = tempDir();
  const file = dir.file('version', 'v1\n');
  const server = await acceptsAfter(3);
  const answer = server.behaviour;
  server.behaviour = (peer) => {
    writeFileSync(file, `v${server.peers.length + 1}\n`);
    answer(peer);
  };
  const run = await startEngine(
    input(
      `url: "ws://{{env:HOST}}:${server.port}/{{file:${file}}}/x?fixed=a+b&c", query: { n: "{{random}}", "a&b": "{{file:${file}}} =&ü" }, headers: { X-Version: "is {{file:${file}}}", X-Time: "{{now}}|{{now_ms}}|{{now_s}}", X-Literal: "{{{{x}}" }, protocols: ["p.{{file:${file}}}", plain]`,
    ),
    { HOST: 'localhost' },
  );
  await run.output().count(1);
  const targets = server.peers.map((peer) => peer.target);
  for (const [index, target] of targets.entries()) {
    const version = `v${index + 1}`;
    expect(target).toMatch(
      new RegExp(`^/${version}/x\\?fixed=a\\+b&c&n=[0-9a-f]{32}&a%26b=${version}%20%3D%26%C3%BC$`),
    );
    const peer = server.peers[index]!;
    expect(peer.header('x-version')).toBe(`is ${version}`);
    expect(peer.header('x-literal')).toBe('{{x}}');
    expect(peer.header('sec-websocket-protocol')).toBe(`p.${version},plain`);
    const [iso = '', ms, s] = (peer.header('x-time') ?? '').split('|');
    expect(new Date(iso).toISOString()).toBe(iso);
    expect(Math.abs(Number(ms) - Date.parse(iso))).toBeLessThan(60_000);
    expect(Math.abs(Number(s) * 1000 - Number(ms))).toBeLessThan(60_000);
  }
  expect(new Set(targets).size).toBe(3);
  expect(run.output().messages[0]!.ext['protocol']).toBe('p.v3');
});

test('values behind the host are shown nowhere; the host is shown', async () => {
  const dir = tempDir();
  const file = dir.file('key', 'k3y/of ours\n');
  const server = await acceptsAfter(2);
  const run = await startEngine(
    input(
      `url: "ws://{{env:HOST}}:${server.port}/v1/{{file:${file}}}/feed?region={{env:REGION}}&city=Bern", headers: { X-Key: "{{file:${file}}}" }`,
    ),
    { HOST: '127.0.0.1', REGION: 'eu-west-7' },
  );
  await run.output().count(1);
  expect(server.peers[0]!.target).toBe('/v1/k3y%2Fof%20ours/feed?region=eu-west-7&city=Bern');
  const { source, ext } = run.output().messages[0]!;
  expect(source).toBe(`ws://127.0.0.1:${server.port}/v1/***/feed?region=***&city=Bern`);
  expect(ext['path']).toBe('/v1/***/feed');
  const line = await run.logged(/^input failed to connect/);
  expect(line.msg).toContain(`cannot connect to ${source}: the server answered 500`);
  expect(JSON.stringify(run.log) + JSON.stringify(ext)).not.toMatch(/k3y|eu-west/);
});

test.each([
  [
    'url: "ws://h/{{env:GONE}}"',
    /cannot fill in `url`: \{\{env:GONE\}\} has no value now; give it a default/,
  ],
  [
    'url: "ws://h/", query: { a: "{{env:GONE}}" }',
    /cannot fill in `query\.a`: \{\{env:GONE\}\} has no value now/,
  ],
  [
    'url: "ws://h/", headers: { a: "{{file:/no/such}}" }',
    /cannot fill in `headers\.a`: ENOENT: no such file/,
  ],
  ['url: "ws://h/", protocols: [ x, "{{env:GONE}}" ]', /cannot fill in `protocols\[1\]`: \{\{env:GONE\}\}/],
  [
    'url: "ws://h/", headers: { a: "x {{env:CRLF}}" }',
    /cannot fill in `headers\.a`: the result holds a line break/,
  ],
  [
    'url: "ws://h/", headers: { a: "{{env:EURO}}" }',
    /cannot fill in `headers\.a`: .* another character that a header/,
  ],
  [
    'url: "ws://h/", protocols: [ "a{{env:SPACE}}" ]',
    /cannot fill in `protocols\[0\]`: the result is not a subprotocol/,
  ],
  [
    'url: "ws://h/", protocols: [ "{{env:A}}", a ]',
    /cannot fill in `protocols`: with the current values, two of them are the same/,
  ],
  ['url: "ws://{{env:SPACE}}/"', /cannot fill in `url`: with the current values, it is not a WebSocket URL/],
  [
    'url: "ws://{{env:PATH_TOO}}/"',
    /cannot fill in `url`: with the current values, it is not a WebSocket URL/,
  ],
  ['url: "ws://{{env:EMPTY}}/feed"', /cannot fill in `url`: \{\{env:EMPTY\}\} has no value now/],
  [
    'url: "ws://{{env:EMPTY:-}}/feed"',
    /cannot fill in `url`: with the current values, it is not a WebSocket URL/,
  ],
  ['url: "ws://h:{{env:A}}/"', /cannot fill in `url`: with the current values, it is not a WebSocket URL/],
])('%s: the attempt fails without a packet, says why, and is made again', async (fields, said) => {
  const env = { CRLF: 's3cret\r\nX-Admin: 1', EURO: '€', SPACE: 'a b', A: 'a', PATH_TOO: 'h/x', EMPTY: '' };
  const run = await startEngine(input(fields), env);
  await run.logged(said);
  const failures = () => run.log.filter(({ msg }) => msg.startsWith('input failed to connect'));
  await run.logged(said, (line) => failures().indexOf(line) > 0);
  expect(failures()[0]!.code).toBe('MILLRACE_NOT_CONNECTED');
  expect(JSON.stringify(run.log)).not.toContain('s3cret');
});

test('a file that appears later is read then; a default serves until it does', async () => {
  const dir = tempDir();
  const file = dir.file('x', '');
  rmSync(file);
  const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'in') })).up();
  const run = await startEngine(
    input(`url: "${server.url}", headers: { X: "{{file:${file}}}", Y: "{{env:Y:-de:fault}}" }`),
  );
  await run.logged(/cannot fill in `headers\.X`: ENOENT/);
  writeFileSync(file, 'now');
  await run.output().count(1);
  expect(server.peers[0]!.header('x')).toBe('now');
  expect(server.peers[0]!.header('y')).toBe('de:fault');
});

test('the environment’s value is never read as a template', async () => {
  const server = await new FaultServer((peer) => void peer.accept({ then: frame('text', 'in') })).up();
  const run = await startEngine(input(`url: "${server.url}", headers: { X: "{{env:X}}" }`), { X: '{{now}}' });
  await run.output().count(1);
  expect(server.peers[0]!.header('x')).toBe('{{now}}');
});

test.each([
  ['url: "ws://h/{{nothing}}"'],
  ['url: "ws://h/", query: { a: "{{meta:x}}" }'],
  ['url: "ws://h/", headers: { a: "{{env:}}" }'],
  ['url: "ws://h/", headers: { a: "{{now:x}}" }'],
  ['url: "ws://h/", protocols: [ "{{toke}}" ]'],
  ['url: "ws://h/", on_open: [ { send: "{{env}}" } ]'],
  ['url: "ws://h/", heartbeat: { send: "{{ping}}" }'],
])('%s: a name that nobody knows is a mistake', (fields) => {
  expect(configMistakes(input(fields)).join('\n')).toMatch(
    /a \{\{…\}\} of an unknown name; known here: \{\{cursor\}\}, \{\{env:…\}\}, .*\{\{token\}\}; \{\{\{\{ is a literal/,
  );
});

test.each([
  ['url: "ws://h/{{now"', 'a {{ that is not closed'],
  ['url: "ws://h/", protocols: [ "", a ]', 'not a subprotocol name'],
  ['url: "{{env:URL}}"', 'not a WebSocket URL'],
  ['url: "{{env:SCHEME}}://h/"', 'not a WebSocket URL'],
  ['url: "ws:h:8080/feed"', 'not a WebSocket URL'],
  ['url: "ws:/h/feed"', 'not a WebSocket URL'],
  ['url: "ws:///h/feed"', 'not a WebSocket URL'],
  ['url: "ws://h/", headers: { Connection: close }', 'part of the handshake itself'],
  ['url: "ws://h/", headers: { upgrade: h2c }', 'part of the handshake itself'],
  ['url: "ws://h/", headers: { Sec-WebSocket-Protocol: x }', 'use `protocols`'],
  ['url: "ws://h/", headers: { Trailer: x }', 'headers.Trailer: a handshake has no body'],
  ['url: "ws://h/", headers: { content-length: "5" }', 'headers.content-length: a handshake has no body'],
  ['url: "ws://h/", headers: { Transfer-Encoding: chunked }', 'a handshake has no body'],
  ['url: "ws://h/", headers: { X-Key: a, x-key: b }', 'headers.x-key: is already there, as X-Key'],
  ['url: "ws://h/", headers: { X: "a\\r\\nY: b" }', 'cannot hold control characters'],
])('%s is a mistake', (fields, mistake) => {
  expect(configMistakes(input(fields)).join('\n')).toContain(mistake);
});
