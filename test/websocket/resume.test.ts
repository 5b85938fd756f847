import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startCli } from '../support/cli.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer, type RawPeer } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
let files = 0;
const cursorPath = (): string => join(dir.path, `cursors-${files++}.json`);

const client = (url: string, path: string, more = ''): string => `
streams:
  - input:
      type: websocket
      url: "${url}?since={{cursor:-start}}"
      resume: { cursor: seq, path: "${path}" }
      reconnect: { initial: 1ms, max: 20ms }
      ${more}
    output: { type: collect }
`;

const message = (seq: number | string): Buffer => frame('text', JSON.stringify({ seq, v: 'x' }));
const messages = (from: number, to: number): Buffer =>
  Buffer.concat(Array.from({ length: to - from + 1 }, (_, index) => message(from + index)));
const since = (peer: RawPeer): string | null =>
  new URL(peer.target, 'http://localhost').searchParams.get('since');
const saved = (path: string): Record<string, string> =>
  (JSON.parse(readFileSync(path, 'utf8')) as { cursors: Record<string, string> }).cursors;
const file = (cursors: Record<string, string>): string =>
  JSON.stringify({ format: 'millrace cursors', version: 1, cursors });

/** Ends a run whose server answers the close. */
async function finish(run: { drain(): void; ended: Promise<unknown> }, ...peers: RawPeer[]): Promise<void> {
  run.drain();
  for (const peer of peers) {
    await peer.closeCode();
    peer.socket.end(closeFrame(1000));
  }
  await run.ended;
}

test('a connection that is lost goes on from the last message that is confirmed', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(client(server.url, cursorPath()));
  const first = await server.peer(0);
  expect(since(first)).toBe('start');
  first.socket.write(messages(1, 5));
  await run.output().count(5);
  await run.idle();
  first.socket.destroy();
  const second = await server.peer(1);
  expect(since(second)).toBe('5');
  second.socket.write(Buffer.concat([message(6), frame('text', '{"no":"cursor"}'), frame('text', 'text')]));
  await run.output().count(8);
  await run.idle();
  second.socket.destroy();
  expect(since(await server.peer(2))).toBe('6');
});

test('the file has it by the end, and the next run goes on from there', async () => {
  const server = await new FaultServer().up();
  const path = cursorPath();
  const run = await startEngine(client(server.url, path));
  const peer = await server.peer(0);
  peer.socket.write(messages(1, 3));
  await run.output().count(3);
  run.drain();
  await peer.closeCode();
  // Messages before the answer count too.
  peer.socket.end(Buffer.concat([message(4), closeFrame(1000)]));
  await run.ended;
  expect(Object.values(saved(path))).toEqual(['4']);
  await startEngine(client(server.url, path));
  expect(since(await server.peer(1))).toBe('4');
});

test('a stream that is replaced goes on from there, also where its URL is filled in', async () => {
  const server = await new FaultServer().up();
  const yaml = client('${FEED}/${TOPIC}', cursorPath());
  const run = await startEngine(yaml, { FEED: server.url.replace(/\/$/, ''), TOPIC: 'trades' });
  const first = await server.peer(0);
  first.socket.write(messages(1, 5));
  await run.output().count(5);
  await run.idle();
  const replaced = run.replace(yaml);
  await first.closeCode();
  first.socket.end(closeFrame(1000));
  expect(await replaced).toEqual([]);
  expect(since(await server.peer(1))).toBe('5');
});

test('URLs of one list that differ only in secrets would share a cursor: a mistake, also if they are filled in', async () => {
  const file = (url: string): string =>
    `streams: [{ input: { type: websocket, url: ${url}, resume: { cursor: a, path: c } } }]`;
  const mistake = /^differs from url\[0\] only in its secrets/;
  const env = { ONE: 'first-secret-0001', TWO: 'second-secret-0002', BTC: 'btc', ETH: 'eth' };
  await expect(
    startEngine(file('["ws://h/?c={{cursor}}&token=a", "ws://h/?c={{cursor}}&token=b"]')),
  ).rejects.toThrow(mistake);
  await expect(
    startEngine(file('["ws://h/${ONE}?c={{cursor}}", "ws://h/${TWO}?c={{cursor}}"]'), env),
  ).rejects.toThrow(mistake);
});

test('the cursor of a URL does not depend on values that another file filled into it', async () => {
  const server = await new FaultServer().up();
  const keyOf = async (url: string, env: Record<string, string>, number: number): Promise<string> => {
    const path = cursorPath();
    const run = await startEngine(client(url, path), env);
    (await server.peer(number)).socket.write(messages(1, 2));
    await run.output().count(2);
    await run.idle();
    await run.abort();
    const { cursors } = JSON.parse(readFileSync(path, 'utf8')) as { cursors: Record<string, unknown> };
    return Object.keys(cursors).join();
  };
  const filled = await keyOf(`${server.url}/\${TOPIC}`, { TOPIC: 'trades' }, 0);
  const written = await keyOf(`${server.url}/trades`, {}, 1);
  expect(filled).toMatch(/\/\*\*\*\?since=.* #[0-9a-f]{4}$/);
  expect(written).toBe(`${server.url}/trades?since={{cursor:-start}}`);
});

test('the file has it soon, without an end; the file is whole at any moment', async () => {
  const server = await new FaultServer().up();
  const path = cursorPath();
  const run = await startEngine(client(server.url, path));
  const peer = await server.peer(0);
  let next = 1;
  const seen = new Set<string>();
  await until(
    'three saves',
    async () => {
      peer.socket.write(message(next++));
      await run.output().count(next - 1);
      if (readdirSync(dir.path).includes(path.split('/').at(-1)!)) seen.add(Object.values(saved(path))[0]!);
      return seen.size >= 3;
    },
    { timeout: 20_000 },
  );
});

test('a cursor that cannot be saved is a reason of readiness, until it is saved', async () => {
  const server = await new FaultServer().up();
  const path = cursorPath();
  const run = await startEngine(client(server.url, path));
  const peer = await server.peer(0);
  await until('readiness', async () => (await run.http('/readiness')).status === 200);
  mkdirSync(path);
  peer.socket.write(message(1));
  await until('the reason', async () => (await run.http('/readiness')).status === 503);
  expect((await run.http('/readiness')).text).toMatch(
    new RegExp(`the cursor is not saved in ${path}: EISDIR.* \\(since 2`),
  );
  rmdirSync(path);
  await until('readiness', async () => (await run.http('/readiness')).status === 200);
  expect(Object.values(saved(path))).toEqual(['1']);
});

test('a cursor does not move past a message in flight, though later ones are confirmed', async () => {
  const server = await new FaultServer().up();
  const path = cursorPath();
  // A window of two batches: only whole windows are confirmed.
  const run = await startEngine(
    client(server.url, path).replace(
      'output:',
      'buffer: { type: memory, capacity: 4, timeout: 1h }\n    output:',
    ),
  );
  const peer = await server.peer(0);
  peer.socket.write(messages(1, 4));
  await run.output().count(4);
  peer.socket.write(messages(5, 7));
  await run.metricIs(3, 'millrace_state_messages');
  peer.socket.destroy();
  expect(since(await server.peer(1))).toBe('4');
});

test('a message that goes to error_output is confirmed, and the cursor moves past it', async () => {
  const server = await new FaultServer().up();
  const run = await startEngine(
    client(server.url, cursorPath(), 'codec: { type: json, schema: {} }').replace(', schema: {}', '') +
      `    pipeline: { processors: [{ type: sql, query: "SELECT seq, CAST(v AS INTEGER) AS v FROM flow" }] }
    error_output: { type: collect, name: bad }
`,
  );
  const peer = await server.peer(0);
  peer.socket.write(Buffer.concat([frame('text', '{"seq":1,"v":"1"}'), frame('text', '{"seq":2,"v":"x"}')]));
  await run.output().count(1);
  await run.output('bad').count(1);
  await run.idle();
  peer.socket.destroy();
  expect(since(await server.peer(1))).toBe('2');
});

test('headers and the steps of on_open get it as well, unchanged', async () => {
  const server = await new FaultServer().up();
  const path = cursorPath();
  const yaml = `
streams:
  - input:
      type: websocket
      url: "${server.url}"
      headers: { X-Since: "{{cursor:-none}}" }
      on_open: [{ send: { from: "{{cursor:-0}}" } }]
      resume: { cursor: data.id, path: "${path}" }
      reconnect: { initial: 1ms, max: 20ms }
    output: { type: collect }
`;
  const run = await startEngine(yaml);
  const peer = await server.peer(0);
  expect(peer.header('x-since')).toBe('none');
  expect(await peer.count(1)).toEqual(['{"from":"0"}']);
  const id = '123456789012345678901234567890';
  peer.socket.write(frame('text', `{"data":{"id":${id}}}`));
  await run.output().count(1);
  await run.idle();
  peer.socket.destroy();
  const next = await server.peer(1);
  expect(next.header('x-since')).toBe(id);
  expect(await next.count(1)).toEqual([`{"from":"${id}"}`]);
});

test('a heartbeat can send the current cursor', async () => {
  const server = await new FaultServer().up();
  const heartbeat = 'heartbeat: { send: { done: "{{cursor:-none}}" }, interval: 5ms }';
  const run = await startEngine(client(server.url, cursorPath(), heartbeat));
  const peer = await server.peer(0);
  expect((await peer.count(1))[0]).toBe('{"done":"none"}');
  peer.socket.write(messages(1, 7));
  await run.output().count(7);
  await until('the cursor', () => peer.texts.at(-1) === '{"done":"7"}', {
    state: () => String(peer.texts.at(-1)),
  });
});

test.each([
  ['10', '1000', '990'],
  ['10', '3', '0'],
  ['1', '100000000000000000000', '99999999999999999999'],
  ['10', '0000000105', '0000000095'],
  ['5s', '2024-05-01T00:00:03Z', '2024-04-30T23:59:58Z'],
  ['1500ms', '2024-05-01T00:00:03.250Z', '2024-05-01T00:00:01.750Z'],
  ['1m', '2024-05-01T02:00:30.123456+02:00', '2024-04-30T23:59:30.123Z'],
  // Not of that kind: as it is.
  ['10', 'abc', 'abc'],
  ['10', '1.5', '1.5'],
  ['5s', '1000', '1000'],
  ['5s', '2024-13-01T00:00:00Z', '2024-13-01T00:00:00Z'],
])('rewind %s behind %s asks for %s', async (rewind, cursor, asked) => {
  const server = await new FaultServer().up();
  const path = cursorPath();
  writeFileSync(path, file({ [`${server.url}?since={{cursor:-start}}`]: cursor }));
  const yaml = client(server.url, path).replace('cursor: seq,', `cursor: seq, rewind: ${rewind},`);
  const run = await startEngine(yaml);
  const peer = await server.peer(0);
  expect(since(peer)).toBe(asked);
  // It goes back once, not ever further; a value that does not fit is logged once.
  peer.socket.destroy();
  expect(since(await server.peer(1))).toBe(asked);
  const told = run.log.filter(({ msg }) => msg.includes('`resume.rewind` does not go back'));
  expect(told).toHaveLength(asked === cursor ? 1 : 0);
});

test('one file for several inputs: a cursor for each URL, without its secrets; others stay in it', async () => {
  const [north, south] = [await new FaultServer().up(), await new FaultServer().up()];
  const path = cursorPath();
  writeFileSync(path, file({ 'ws://elsewhere.example/': '77' }));
  const yaml = `
streams:
  - input:
      type: websocket
      url: ["${north.url}?token=s3cret&from={{cursor:-0}}", "${south.url}?token=s3cret&from={{cursor:-0}}"]
      resume: { cursor: seq, path: "${path}" }
    output: { type: collect }
  - input:
      type: websocket
      url: "${north.url}/other?from={{cursor:-0}}"
      resume: { cursor: seq, path: "${path}" }
    output: { type: collect, name: other }
`;
  const run = await startEngine(yaml);
  const inNorth = [await north.peer(0), await north.peer(1)];
  const [one, other] = inNorth[0]!.target.includes('other') ? inNorth.toReversed() : inNorth;
  const two = await south.peer(0);
  one!.socket.write(message(1));
  two.socket.write(message(2));
  other!.socket.write(message(3));
  await run.output().count(2);
  await run.output('other').count(1);
  await finish(run, one!, two, other!);
  expect(saved(path)).toEqual({
    'ws://elsewhere.example/': '77',
    [`${north.url}?token=***&from={{cursor:-0}}`]: '1',
    [`${south.url}?token=***&from={{cursor:-0}}`]: '2',
    [`${north.url}/other?from={{cursor:-0}}`]: '3',
  });
});

test('two inputs that would share one cursor: the second fails and says what to do', async () => {
  const server = await new FaultServer().up();
  const path = cursorPath();
  const second = client(server.url, path).replace('\nstreams:', '').replace('collect', 'collect, name: two');
  const run = await startEngine(client(server.url, path) + second);
  const line = await run.logged(/^stream failed/);
  expect(line.code).toBe('MILLRACE_CURSOR_FILE_INVALID');
  expect(line.msg).toContain(
    `another input already keeps the cursor of ${server.url}?since={{cursor:-start}} in it; give each input its own file`,
  );
  const peer = await server.peer(0);
  peer.socket.write(message(1));
  await until(
    'the other stream’s message',
    () => run.output().texts.length + run.output('two').texts.length === 1,
  );
  expect(server.peers).toHaveLength(1);
});

test.each([
  ['something else', '{"name":"my data"}'],
  ['not JSON', 'id,value\n1,2\n'],
  ['a later version', JSON.stringify({ format: 'millrace cursors', version: 2, cursors: {} })],
  ['a torn copy', file({ 'ws://a.example/': '1' }).slice(0, 30)],
])('a file that is %s fails the stream and is not touched', async (_, content) => {
  const server = await new FaultServer().up();
  const path = cursorPath();
  writeFileSync(path, content);
  const run = await startEngine(client(server.url, path));
  const line = await run.logged(/^stream failed/);
  expect(line.code).toBe('MILLRACE_CURSOR_FILE_INVALID');
  expect(line.msg).toContain(`${path} is not a file of cursors (version 1); it was not changed`);
  expect(await run.ended).toMatchObject({ failed: ['stream-0'] });
  expect(readFileSync(path, 'utf8')).toBe(content);
  expect(server.peers).toEqual([]);
});

test('a path that cannot be read or made fails the stream', async () => {
  const folder = join(dir.path, 'folder');
  mkdirSync(folder);
  const run = await startEngine(
    client('ws://127.0.0.1:1', folder) +
      client('ws://127.0.0.1:1', join(dir.path, 'missing', 'cursors.json')).replace('\nstreams:', ''),
  );
  const failed = (stream: string) => run.logged(/^stream failed/, (line) => line.stream === stream);
  expect((await failed('stream-0')).msg).toMatch(/`resume\.path` \S+folder cannot be read: .*EISDIR/);
  expect((await failed('stream-1')).msg).toMatch(
    /`resume\.path` \S+cursors\.json cannot be created: .*ENOENT/,
  );
  expect((await failed('stream-1')).code).toBe('MILLRACE_FILE_UNAVAILABLE');
});

test('failover: the URLs are one feed, and share the cursor', async () => {
  const [a, b] = [await new FaultServer().up(), await new FaultServer().up()];
  const path = cursorPath();
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      url: ["${a.url}?since={{cursor:-0}}", "${b.url}?since={{cursor:-0}}"]
      strategy: failover
      resume: { cursor: seq, path: "${path}" }
      reconnect: { initial: 1ms, max: 20ms }
    output: { type: collect }
`);
  const first = await a.peer(0);
  first.socket.write(message(9));
  await run.output().count(1);
  await run.idle();
  first.socket.destroy();
  expect(since(await b.peer(0))).toBe('9');
});

test('redundancy: the cursor does not move past messages in flight on the other connection', async () => {
  const server = await new FaultServer().up();
  const yaml = client(
    server.url,
    cursorPath(),
    'redundancy: 2\n      dedupe: { key: seq }\n      name: pair',
  );
  const run = await startEngine(yaml);
  const [a, b] = [await server.peer(0), await server.peer(1)];
  run.output().hold();
  a.socket.write(messages(1, 3));
  await until('the first write', () => run.output().writes === 1);
  // Some messages of b are the same: they wait for those of a; and then b is ahead.
  b.socket.write(messages(1, 5));
  await until('all in flight', async () => (await run.inFlight()).messages === 8);
  b.socket.destroy();
  const again = await server.peer(2);
  expect(since(again)).toBe('start');
  run.output().release();
  await run.output().count(5);
  await run.idle();
  again.socket.destroy();
  const last = await server.peer(3);
  expect(since(last)).toBe('5');
  expect(run.output().values).toEqual([1, 2, 3, 4, 5].map((seq) => ({ seq, v: 'x' })));
  await finish(run, a, last);
});

test('kill -9 at any moment: after the restart nothing is missing', async () => {
  const LAST = 3000;
  // A feed that goes on from any message, and always ends with the same.
  const server = await new FaultServer((peer) => {
    peer.accept();
    let next = Number(since(peer)) + 1;
    const timer = setInterval(() => {
      if (next > LAST || peer.socket.destroyed) return clearInterval(timer);
      const to = Math.min(LAST, next + 9);
      peer.socket.write(messages(next, to));
      next = to + 1;
    }, 5);
  }).up();
  const path = cursorPath();
  const out = join(dir.path, 'out.jsonl');
  const config = dir.file(
    'kill.yaml',
    `health_check: { enabled: false }
streams:
  - input:
      type: websocket
      url: "${server.url}?since={{cursor:-0}}"
      resume: { cursor: seq, path: "${path}", rewind: 5 }
      reconnect: { initial: 1ms, max: 20ms }
    output: { type: file, path: "${out}" }
`,
  );
  const lines = (): string[] => {
    try {
      return readFileSync(out, 'utf8')
        .split('\n')
        .filter((line) => line !== '');
    } catch {
      return [];
    }
  };
  const starts: number[] = [];
  for (let run = 0; run < 4; run++) {
    const connections = server.peers.length;
    const { child, result } = startCli(['run', config]);
    starts.push(
      Number(since(await until('the connection', () => server.peers[connections], { timeout: 30_000 }))),
    );
    const before = lines().length;
    // Killed at different moments: at once, or after the cursor was saved.
    await until(
      'progress',
      () =>
        lines().length > before + 50 &&
        (run === 0 || readdirSync(dir.path).includes(path.split('/').at(-1)!)),
      { timeout: 30_000 },
    );
    child.kill('SIGKILL');
    await result;
  }
  const last = startCli(['run', config]);
  await until('the end of the feed', () => lines().at(-1) === JSON.stringify({ seq: LAST, v: 'x' }), {
    timeout: 60_000,
  });
  last.child.kill('SIGKILL');
  await last.result;
  const whole = lines().flatMap((line) => {
    try {
      return [(JSON.parse(line) as { seq: number }).seq];
    } catch {
      return [];
    }
  });
  expect(new Set(whole).size).toBe(LAST);
  // It did go on, and did not begin again.
  expect(Math.max(...starts)).toBeGreaterThan(0);
}, 120_000);

test.each([
  ['url: "ws://a.example/", resume: { cursor: seq, path: c.json }', 'resume: needs `{{cursor}}` in `url`'],
  ['url: "ws://a.example/?from={{cursor:-0}}"', 'resume: missing; `{{cursor}}` gets its value from it'],
  ['url: "ws://a.example/{{cursor}}", resume: { cursor: "", path: c }', 'resume.cursor: "" is not a path'],
  ['url: "ws://a.example/{{cursor}}", resume: { cursor: a }', 'resume.path: '],
  ['url: "ws://a.example/{{cursor}}", resume: { cursor: a, path: c, rewind: 0 }', 'resume.rewind: '],
  ['url: "ws://a.example/{{cursor}}", resume: { cursor: a, path: c, rewind: soon }', 'resume.rewind: '],
  ['mode: server, port: 0, resume: { cursor: a, path: c }', 'resume: only for `mode: client`'],
])('%s is a mistake', (fields, mistake) => {
  const mistakes = configMistakes(`streams: [{ input: { type: websocket, ${fields} } }]`).join('\n');
  expect(mistakes).toContain(`streams[0].input.${mistake}`);
});
