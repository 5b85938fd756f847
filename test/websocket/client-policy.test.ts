import { describe, expect, test } from 'vitest';
import { configMistakes, startEngine } from '../support/engine.ts';
import { closeFrame, frame } from '../support/frames.ts';
import { FaultServer } from '../support/peers.ts';
import { until } from '../support/until.ts';

const input = (url: string, reconnect = ''): string => `
streams:
  - input: { type: websocket, url: "${url}", reconnect: { initial: 1ms, max: 5ms ${reconnect} } }
    output: { type: collect }
`;
const output = (url: string, reconnect = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0 }
    output: { type: websocket, url: "${url}", reconnect: { initial: 1ms, max: 5ms ${reconnect} } }
`;
const answer = (status: string, headers = ''): string =>
  `HTTP/1.1 ${status}\r\n${headers}Content-Length: 0\r\n\r\n`;

describe('Retry-After', () => {
  test.each([
    ['429 Too Many Requests', 'Retry-After: 120\r\n', 120_000],
    ['503 Service Unavailable', 'retry-after: 2\r\n', 2_000],
    ['503 Service Unavailable', 'Retry-After: 999999\r\n', 3_600_000],
  ])('%s with %s is honoured, an hour at most', async (status, header, wait) => {
    const server = await new FaultServer((peer) => void peer.socket.end(answer(status, header))).up();
    const run = await startEngine(input(server.url));
    const line = await run.logged(/^input failed to connect/);
    expect(line['retry_in_ms']).toBe(wait);
    expect(server.peers).toHaveLength(1);
    // It waits as long as it was asked to, and still stops at once.
    expect(await run.stop()).toEqual({ failed: [], left: [] });
  });

  test('may be a date', async () => {
    const date = new Date(Date.now() + 600_000).toUTCString();
    const server = await new FaultServer(
      (peer) => void peer.socket.end(answer('503 Busy', `Retry-After: ${date}\r\n`)),
    ).up();
    const run = await startEngine(output(server.url));
    const line = await run.logged(/^output failed to connect/);
    expect(line['retry_in_ms']).toBeGreaterThan(400_000);
    expect(line['retry_in_ms']).toBeLessThanOrEqual(600_000);
  });

  test.each([
    ['503 Busy', 'Retry-After: soon\r\n'],
    ['503 Busy', 'Retry-After: -5\r\n'],
    ['503 Busy', 'Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n'],
    ['500 Oh', 'Retry-After: 120\r\n'],
  ])('%s with %s is a failure like any other', async (status, header) => {
    const server = await new FaultServer((peer) => void peer.socket.end(answer(status, header))).up();
    await startEngine(input(server.url));
    await server.peer(3);
  });
});

describe('stop_on', () => {
  test.each([
    ['input', input],
    ['output', output],
  ])('a status that it names fails the stream of an %s; another does not', async (stage, yaml) => {
    const server = await new FaultServer((peer) => {
      peer.socket.end(answer(server.peers.length < 3 ? '401 Unauthorized' : '403 Forbidden'));
    }).up();
    const run = await startEngine(yaml(server.url, ', stop_on: { statuses: [403, 302] }'));
    const line = await run.logged(/^stream failed/);
    expect(line.code).toBe('MILLRACE_RECONNECT_STOPPED');
    expect(line.msg).toBe(
      `stream failed: cannot connect to ${server.url}: the server answered 403 Forbidden; \`reconnect.stop_on.statuses\` names 403`,
    );
    expect(run.log.filter(({ msg }) => msg.startsWith(`${stage} failed to connect`))).toHaveLength(2);
    expect((await run.ended).failed).toEqual(['stream-0']);
    expect(server.peers).toHaveLength(3);
  });

  test('a redirect that it names is not followed', async () => {
    const server = await new FaultServer(
      (peer) => void peer.socket.end(answer('302 Found', 'Location: /x\r\n')),
    ).up();
    const run = await startEngine(input(server.url, ', stop_on: { statuses: [302] }'));
    await run.logged(
      /^stream failed: .* the server answered 302 Found; `reconnect\.stop_on\.statuses` names 302$/,
    );
    expect(server.peers).toHaveLength(1);
  });

  test('a close code that it names fails the stream, after the messages that had arrived; others do not', async () => {
    const codes = [1008, 4100, 4042];
    const server = await new FaultServer((peer) => {
      const code = codes[server.peers.length - 1]!;
      peer.accept({ then: Buffer.concat([frame('text', String(code)), closeFrame(code, 'go')]) });
    }).up();
    const run = await startEngine(input(server.url, ', stop_on: { close_codes: ["4000-4099", 1011] }'));
    const line = await run.logged(/^stream failed/);
    expect(line.code).toBe('MILLRACE_RECONNECT_STOPPED');
    expect(line.msg).toBe(
      `stream failed: ${server.url} closed the connection with 4042: go; \`reconnect.stop_on.close_codes\` names 4042`,
    );
    expect(run.output().texts).toEqual(['1008', '4100', '4042']);
    expect(server.peers).toHaveLength(3);
    await run.ended;
  });

  test('a close code of the server’s fails an output’s stream', async () => {
    const server = await new FaultServer((peer) => void peer.accept({ then: closeFrame(1008, 'no') })).up();
    const run = await startEngine(output(server.url, ', stop_on: { close_codes: [1008] }'));
    const line = await run.logged(/^stream failed/);
    expect(line.code).toBe('MILLRACE_RECONNECT_STOPPED');
    expect(line.msg).toContain(
      'closed the connection with 1008: no; `reconnect.stop_on.close_codes` names 1008',
    );
    expect(server.peers).toHaveLength(1);
  });

  test('a close code that we send is not the server’s', async () => {
    const server = await new FaultServer((peer) => {
      peer.accept({ then: frame('text', 'x', { declared: 2 ** 31 }) });
      void peer.closeCode().then(
        () => peer.socket.end(),
        () => {},
      );
    }).up();
    const run = await startEngine(input(server.url, ', stop_on: { close_codes: [1009] }'));
    await server.peer(1);
    await run.logged(/^input lost its connection: closed the connection to .* with 1009/);
  });

  test('a connection that breaks has no close code, whatever range 1006 is in', async () => {
    const server = await new FaultServer((peer) => {
      peer.accept();
      peer.socket.end();
    }).up();
    const run = await startEngine(input(server.url, ', stop_on: { close_codes: ["1000-1999"] }'));
    await server.peer(1);
    await run.logged(/^input lost its connection: the connection to .* broke \(1006\)/);
  });

  test.each([1006, 1015])('%i, which no server can send, is a mistake', (code) => {
    expect(configMistakes(input('ws://127.0.0.1:1/', `, stop_on: { close_codes: [${code}] }`))).toEqual([
      expect.stringContaining(
        `close_codes[0]: ${code} is never sent (RFC 6455 section 7.4.1): it stands for a connection that broke`,
      ),
    ]);
  });

  test('a close code in the middle of `on_open` counts as well', async () => {
    const server = await new FaultServer((peer) => void peer.accept({ then: closeFrame(4401, 'who') })).up();
    const run = await startEngine(`
streams:
  - input:
      type: websocket
      url: "${server.url}"
      on_open: [ { expect: hello } ]
      reconnect: { initial: 1ms, max: 5ms, stop_on: { close_codes: [4401] } }
    output: { type: collect }
`);
    const line = await run.logged(/^stream failed/);
    expect(line.msg).toContain(
      'with 4401: who, before `on_open[0]` was done; `reconnect.stop_on.close_codes` names',
    );
    expect(server.peers).toHaveLength(1);
  });

  test.each([
    ['{ statuses: [200] }', 'stop_on.statuses[0]'],
    ['{ close_codes: [999] }', 'not a close code; expected one like 1008, or a range like 4000-4099'],
    ['{ close_codes: ["4099-4000"] }', 'not a close code'],
  ])('%s is a mistake', (stop, mistake) => {
    expect(configMistakes(input('ws://h/', `, stop_on: ${stop}`)).join('\n')).toContain(mistake);
  });
});

describe('stable_after', () => {
  const cutting = (): Promise<FaultServer> => new FaultServer((peer) => peer.accept().socket.end()).up();

  test('connections that end before it are failures in a row', async () => {
    const server = await cutting();
    const run = await startEngine(input(server.url, ', stable_after: 1h, max_attempts: 4'));
    await run.logged(/^stream failed: gave up after 4 attempts/);
    expect(server.peers).toHaveLength(4);
  });

  test('a connection that held so long resets the count', async () => {
    const server = await cutting();
    const run = await startEngine(input(server.url, ', stable_after: 0s, max_attempts: 2'));
    await server.peer(9);
    expect(run.log.some(({ msg }) => msg.startsWith('stream failed'))).toBe(false);
    await until(
      'pauses that stay short',
      () => run.log.filter(({ msg }) => msg.startsWith('input lost')).length > 5,
    );
  });
});
