import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { cliProcess, startCli } from '../support/cli.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer, freePort } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const dir = tempDir();
const KEY = 'C4n4ry/K"y+x=ü';
const PLAIN = 'plainc4naryword';
const PASSWORD = 'p4ssC4nary';
const env = { KEY, PLAIN, PASSWORD, HERE: '127.0.0.1' };

/** Every way in which the secrets may be hidden in a text. */
function found(text: string): string[] {
  const basic = Buffer.from(`ann:${PASSWORD}`).toString('base64');
  const forms = [KEY, PLAIN, PASSWORD].flatMap((secret) => [
    secret,
    encodeURIComponent(secret),
    encodeURI(secret),
    encodeURIComponent(encodeURIComponent(secret)),
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString('base64').replace(/.?=*$/, ''),
    secret.slice(0, 6),
  ]);
  const whole = text.toLowerCase();
  return [...forms, basic].filter((form) => whole.includes(form.toLowerCase()));
}

const saved = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

test.each(['plain', 'json'])(
  'a value from ${…} is in no log of format %s, no answer of health, no metadata, no dead letter’s error and no cursor’s key',
  async (format) => {
    // A server that quotes the request and the message.
    const upstream = await new FaultServer((peer) => {
      const number = upstream.peers.length;
      if (number === 1) {
        const body = `who is ${peer.target}, ${decodeURIComponent(peer.target)}, ${peer.header('authorization')}?`;
        peer.socket.end(
          `HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        );
      } else if (number === 2) {
        peer.socket.end(
          `HTTP/1.1 302 Go\r\nLocation: ws://other.example${peer.target}\r\nContent-Length: 0\r\n\r\n`,
        );
      } else {
        peer.accept();
        void peer.count(1).then(([sent]) => {
          const refusal = JSON.stringify({ auth: 'auth_invalid', got: sent });
          if (number === 3) return void peer.socket.write(frame('text', refusal));
          if (number === 4) return void peer.socket.end(closeFrame(4000, `bad ${PLAIN.toUpperCase()}`));
          return void peer.socket.write(
            Buffer.concat(
              ['{"ok":true,"seq":1}', `{"seq":2,"v":"${PLAIN}"}`, `{"seq":3,"v":"${PLAIN}"`].map((text) =>
                frame('text', text),
              ),
            ),
          );
        });
      }
    }).up();
    const [closed, health, inbound] = [await freePort(), await freePort(), await freePort()];
    const name = (file: string): string => join(dir.path, `${format}-${file}`);
    const file = name('config.yaml');
    writeFileSync(
      file,
      `
logging: { level: debug, format: ${format} }
health_check: { address: "\${HERE}:${health}" }
streams:
  - id: feed
    input:
      type: websocket
      url: "ws://ann:\${PASSWORD}@\${HERE}:${upstream.port}/v1/\${PLAIN}/feed?plan=\${PLAIN}&since={{cursor:-0}}"
      query: { other: "\${KEY}" }
      resume: { cursor: seq, path: "${name('cursors.json')}" }
      reconnect: { initial: 1ms, max: 5ms }
      codec: { type: json }
      on_open:
        - send: { op: auth, what: "\${PLAIN}", key: "\${KEY}" }
        - { expect: { ok: true }, reject: [auth_invalid] }
    pipeline:
      processors:
        - { type: sql, query: "SELECT seq, v, __meta_source AS source, __meta_ext AS ext FROM flow" }
    output: { type: file, path: "${name('out.jsonl')}" }
    error_output: { type: file, path: "${name('dead.jsonl')}" }
  - id: away
    input: { type: generate, context: x, count: 1 }
    output: { type: websocket, url: "ws://\${HERE}:${closed}/\${PLAIN}/x?innocent=\${PLAIN}", reconnect: { initial: 1ms, max: 5ms } }
  - id: served
    input: { type: websocket, mode: server, host: "\${HERE}", port: ${inbound}, path: "/in/\${PLAIN}", codec: { type: json } }
    pipeline:
      processors:
        - { type: sql, query: "SELECT n, __meta_source AS source, __meta_ext['path'] AS path FROM flow" }
    output: { type: file, path: "${name('served.jsonl')}" }
`,
    );
    const run = startCli(['run', file], { env });
    const lines = await until(
      'the messages to be written',
      () =>
        saved(name('out.jsonl')).includes('"seq":2') &&
        saved(name('dead.jsonl')).includes('\n') &&
        saved(name('out.jsonl')),
    );
    const client = new WebSocket(`ws://127.0.0.1:${inbound}/in/${PLAIN}`);
    client.on('open', () => client.send('{"n":1}'));
    const served = await until(
      'the message of the client to be written',
      () => saved(name('served.jsonl')).includes('\n') && saved(name('served.jsonl')),
    );
    const cursors = await until(
      'the cursor to be saved',
      () => saved(name('cursors.json')).includes('"2"') && saved(name('cursors.json')),
    );
    await run.seen(/away.*ECONNREFUSED/);
    const answers = await Promise.all(
      ['health', 'readiness', 'metrics'].map(
        async (path) => await (await fetch(`http://127.0.0.1:${health}/${path}`)).text(),
      ),
    );
    // One of its outputs cannot be reached, and it would wait for that.
    run.child.kill('SIGKILL');
    const { stderr } = await run.result;
    client.terminate();

    // Messages are data, and go through whole.
    const row = JSON.parse(lines.trim().split('\n').at(-1)!) as { v: string; source: string; ext: unknown };
    expect(row.v).toBe(PLAIN);
    const dead = JSON.parse(saved(name('dead.jsonl')).split('\n')[0]!) as {
      payload: string;
      metadata: unknown;
      error: unknown;
    };
    expect(dead.payload).toContain(PLAIN);
    const shown = `ws://ann:***@127.0.0.1:${upstream.port}/v1/***/feed?plan=***&since=***`;
    expect(row.source).toBe(shown);
    expect(JSON.parse(served)).toEqual({ n: 1, source: `ws://127.0.0.1:${inbound}/in/***`, path: '/in/***' });
    expect(Object.keys((JSON.parse(cursors) as { cursors: object }).cursors)).toEqual([
      shown.replace('since=***', 'since={{cursor:-0}}'),
    ]);

    const texts = { stderr, answers, ext: row.ext, metadata: dead.metadata, error: dead.error };
    for (const [where, text] of Object.entries(texts)) {
      expect(found(JSON.stringify(text)), where).toEqual([]);
      expect(found(String(text)), where).toEqual([]);
    }
    // The words of the message itself are shown.
    expect(stderr).toContain('auth_invalid');
    expect(stderr).toContain('"op');
    expect(stderr).toContain(`127.0.0.1:${closed}/***/x?innocent=***`);
    expect(answers[1]).toContain(`127.0.0.1:${closed}/***/x?innocent=***`);
  },
);

test('`check --dial` and a mistake do not show it', async () => {
  const closed = await freePort();
  const text = (more = ''): string =>
    `health_check: { enabled: false }\nstreams: [{ input: { type: websocket, url: "ws://127.0.0.1:${closed}/\${KEY}/\${PLAIN}"${more} } }]\n`;
  const dialled = await cliProcess(['check', '--dial', dir.file('dial.yaml', text())], { env });
  expect(dialled.code).toBe(1);
  expect(dialled.stderr).toMatch(/cannot connect to ws:\/\/127\.0\.0\.1:\d+\/\*\*\*\/\*\*\*: /);
  const wrong = await cliProcess(
    ['check', dir.file('wrong.yaml', text(', timeout: "${PLAIN}", mode: "x${KEY}"'))],
    {
      env,
    },
  );
  expect(wrong.code).toBe(1);
  expect(found(dialled.stderr + dialled.stdout + wrong.stderr + wrong.stdout)).toEqual([]);
});

test('a URL that is one ${…} is shown up to its host; a default of the file and short words are shown', async () => {
  const upstream = await new FaultServer(
    (peer) => void peer.socket.end('HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n'),
  ).up();
  const file = dir.file(
    'url.yaml',
    `health_check: { enabled: false }
streams:
  - { id: "\${NAME}", input: { type: websocket, url: "\${URL}" } }
  - { input: { type: websocket, url: "\${NONE:-ws://127.0.0.1:${upstream.port}/public/path}" } }
`,
  );
  const run = startCli(['run', file], {
    env: { URL: `ws://127.0.0.1:${upstream.port}/ws/v1?k=1`, NAME: 'orders' },
  });
  await run.seen(
    /\[orders\].*cannot connect to ws:\/\/127\.0\.0\.1:\d+\/\*\*\*\/\*\*\*\?k=\*\*\*: the server answered 500 No/,
  );
  await run.seen(/cannot connect to ws:\/\/127\.0\.0\.1:\d+\/public\/path: the server answered 500 No/);
  run.child.kill();
  await run.result;
});

test('a part of a host, a short key, and one behind a host that is a template are masked; the host is shown', async () => {
  const closed = await freePort();
  const file = dir.file(
    'places.yaml',
    `health_check: { enabled: false }
streams:
  - input: { type: websocket, url: "ws://\${TENANT}.feed.localhost:${closed}/x" }
  - input: { type: websocket, url: "ws://\${HERE}:${closed}/x?a=\${SHORT}&b=c" }
  - input: { type: websocket, url: "ws://{{env:HERE}}:${closed}/\${SHORT}/xq7" }
`,
  );
  const run = startCli(['run', file], { env: { HERE: '127.0.0.1', TENANT: 'TenantKey99', SHORT: 'q7' } });
  await run.seen(/cannot connect to ws:\/\/\*\*\*\.feed\.localhost:\d+\/x: /);
  await run.seen(/cannot connect to ws:\/\/127\.0\.0\.1:\d+\/x\?a=\*\*\*&b=c: /);
  await run.seen(/cannot connect to ws:\/\/127\.0\.0\.1:\d+\/\*\*\*\/xq7: /);
  run.child.kill();
  expect((await run.result).stderr.toLowerCase()).not.toMatch(/tenantkey99|\bq7\b/);
});

test('a cursor is that of its feed: a topic that is filled in tells feeds apart, and a new key does not', async () => {
  const upstream = await new FaultServer((peer) => {
    const [, topic] = /^\/feed\/(\w+)/.exec(peer.target)!;
    peer.accept({ then: frame('text', `{"seq":"of ${topic}"}`) }).endsOnClose();
  }).up();
  const cursors = join(dir.path, 'topics.json');
  const file = dir.file(
    'topics.yaml',
    `health_check: { enabled: false }
streams:
  - input:
      type: websocket
      url:
        - "ws://127.0.0.1:${upstream.port}/feed/\${ONE}?key=\${API}&since={{cursor:-none}}"
        - "ws://127.0.0.1:${upstream.port}/feed/\${TWO}?innocent=\${API}&since={{cursor:-none}}"
      resume: { cursor: seq, path: "${cursors}" }
`,
  );
  const asked = async (topics: { ONE: string; TWO: string; API: string }): Promise<string[]> => {
    const first = upstream.peers.length;
    const run = startCli(['run', file], { env: topics });
    await until(
      'both to have a cursor',
      () =>
        [topics.ONE, topics.TWO].every((each) => saved(cursors).includes(`of ${each}`)) &&
        upstream.peers.length > first + 1,
    );
    run.child.kill();
    await run.result;
    return upstream.peers
      .slice(first, first + 2)
      .map(({ target }) => decodeURIComponent(target.replace(/^.*since=/, '')))
      .toSorted();
  };
  expect(await asked({ ONE: 'trades', TWO: 'quotes', API: 'api-key-0001' })).toEqual(['none', 'none']);
  // Another key for the same feeds, then another feed with the same key.
  expect(await asked({ ONE: 'trades', TWO: 'quotes', API: 'api-key-0002' })).toEqual([
    'of quotes',
    'of trades',
  ]);
  expect(await asked({ ONE: 'trades', TWO: 'orders', API: 'api-key-0002' })).toEqual(['none', 'of trades']);
  expect(saved(cursors)).not.toMatch(/api-key|\/trades|\/quotes|\/orders/);
});

test('a cursor that an earlier version kept under the key with the secret is found, and the secret goes', async () => {
  const upstream = await new FaultServer(
    (peer) => void peer.accept({ then: frame('text', '{"seq":8}') }).endsOnClose(),
  ).up();
  const url = (key: string): string => `ws://127.0.0.1:${upstream.port}/${key}/feed?since={{cursor:-0}}`;
  const cursors = dir.file(
    'old-cursors.json',
    JSON.stringify({ format: 'millrace cursors', version: 1, cursors: { [url(PLAIN)]: '7', other: '1' } }),
  );
  const file = dir.file(
    'resume.yaml',
    `health_check: { enabled: false }
streams: [{ input: { type: websocket, url: "${url('${PLAIN}')}", resume: { cursor: seq, path: "${cursors}" } } }]
`,
  );
  const run = startCli(['run', file], { env });
  const peer = await upstream.peer(0);
  expect(peer.target).toBe(`/${PLAIN}/feed?since=7`);
  await until('the new key', () => saved(cursors).includes('"8"'));
  run.child.kill();
  await run.result;
  expect((JSON.parse(saved(cursors)) as { cursors: unknown }).cursors).toEqual({
    [url('***')]: '8',
    other: '1',
  });
});
