import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { HttpServer } from '../support/http-server.ts';
import { connectClient, send } from '../support/peers.ts';
import { until } from '../support/until.ts';

test('a sender hears once of each message: when all outputs have it, or that one has refused it', async () => {
  const refusing = (): Promise<HttpServer> =>
    HttpServer.start(({ body }, response) => void response.writeHead(body.includes('bad') ? 422 : 200).end());
  const [one, two] = [await refusing(), await refusing()];
  const run = await startEngine(`
streams:
  - id: s
    input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      codec: { type: json }
      ack: { when: delivered, id: id, reply: 'ok {{id}}', reject_reply: 'no {{id}}' }
    outputs:
      - { type: http, name: one, url: '${one.url}' }
      - { type: http, name: two, url: '${two.url}' }
    error_output: { type: collect, name: rejected }
`);
  const client = await connectClient(await run.url('s'));
  const replies: string[] = [];
  client.socket.on('message', (reply: Buffer) => replies.push(reply.toString()));
  await send(client, '{"id":1}', '{"id":2,"x":"bad"}', '{"id":3}');
  await until('the replies', () => replies.length === 3);
  expect(replies.toSorted()).toEqual(['no 2', 'ok 1', 'ok 3']);
  expect(one.bodies).toEqual(two.bodies);
  // A dead letter of each.
  expect(await run.output('rejected').count(2)).toHaveLength(2);

  two.answer = (_, response) => void response.writeHead(503).end();
  await send(client, '{"id":4}');
  await until('the first to have it', () => one.bodies.length === 4);
  expect(replies).toHaveLength(3);
  two.answer = (_, response) => void response.writeHead(200).end();
  await until('the reply', () => replies.length === 4);
});
