import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { FaultServer } from '../support/peers.ts';

const reader = (url: string, fields = ''): string => `
streams:
  - id: reader
    input: { type: websocket, url: "${url}", reconnect: { initial: 1ms, max: 5ms }${fields} }
    output: { type: collect }
`;

/** The log about a server that answers the handshake with `answer` and leaves the connection open. */
async function said(answer: string, fields = ''): Promise<string> {
  const server = await new FaultServer((peer) => void peer.socket.write(answer)).up();
  const run = await startEngine(reader(server.url, fields));
  return (await run.logged(/^input failed to connect/)).msg;
}

const answer = (headers: string, body: string): string =>
  `HTTP/1.1 400 Bad Request\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const PLAIN = 'Content-Type: text/plain; charset=utf-8\r\n';

test('the log shows the explanation of a Millrace server', async () => {
  const hub = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, protocols: [v2], protocol_required: true }
    output: { type: collect }
`);
  const run = await startEngine(reader(await hub.url()));
  const { msg } = await run.logged(/^input failed to connect/);
  expect(msg).toMatch(
    /the server answered 400 Bad Request: expected one of these subprotocols in Sec-WebSocket-Protocol: v2$/,
  );
});

test('a reason on several lines is one line of the log, without terminal controls', async () => {
  expect(await said(answer(PLAIN, 'first\r\n\u001b[31msecond\n'))).toMatch(
    /400 Bad Request: first \[31msecond$/,
  );
});

test.each([
  ['a page', answer('Content-Type: text/html\r\n', '<h1>no</h1>')],
  ['a long text', answer(PLAIN, 'x'.repeat(501))],
  ['compressed text', answer(`${PLAIN}Content-Encoding: gzip\r\n`, 'abc')],
  ['no more than the status', answer(PLAIN, 'Bad Request')],
  ['nothing', answer(PLAIN, '')],
  ['less than announced', answer(PLAIN, 'all of it').replace('all of it', 'all')],
  ['text without end', `HTTP/1.1 400 Bad Request\r\n${PLAIN}\r\nxxx`],
])('%s is not shown', async (_, bytes) => {
  expect(await said(bytes)).toMatch(/the server answered 400 Bad Request$/);
});
