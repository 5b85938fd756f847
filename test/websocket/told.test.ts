import { describe, expect, test } from 'vitest';
import { errorCodes } from '../../src/cli/error-codes.ts';
import { startEngine, type Run } from '../support/engine.ts';
import { connectClient, send } from '../support/peers.ts';
import { Sender, sender } from '../support/senders.ts';
import { azureClient } from '../support/pubsub.ts';
import { until } from '../support/until.ts';
import { victims } from '../support/victim.ts';

/** Told to no client: it comes from `${…}`, and stands in the query. */
const SECRET = 'sesame-7bd1';
const env = { WORD: SECRET };
const query = "SELECT id, token FROM flow WHERE token = '${WORD}'";

const ack = `{ id: id, reply: 'ack {{id}}', reject_reply: { nack: '{{id}}', code: '{{code}}', reason: '{{reason}}' } }`;

const file = (
  errorOutput = '{ type: collect, name: errors }',
  processors = `[{ type: sql, query: "${query}" }]`,
): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /in, codec: { type: json }, ack: ${ack} }
    pipeline: { processors: ${processors} }
    output: { type: collect }
    error_output: ${errorOutput}
`;

const conflict = {
  code: 'MILLRACE_SQL_FIELD_CONFLICT',
  told: 'a field of the message has a name or a value that does not fit here',
};

interface Letter {
  readonly error: { readonly code: string; readonly message: string; readonly field?: string };
}

/** A stream whose column `token` is a string, and a client that sends a number there. */
async function conflicting(errorOutput?: string): Promise<{ run: Run; good: Sender; bad: Sender }> {
  const run = await startEngine(file(errorOutput), env);
  const good = await sender(run);
  await send(good.client, '{"id":"g","token":"x"}');
  await good.count(1);
  const bad = await sender(run);
  return { run, good, bad };
}

describe('a client gets the code of an error and its sentence', () => {
  test('in reject_reply; the dead letter has the detail', async () => {
    const { run, bad } = await conflicting();
    await send(bad.client, '{"id":"b","token":1}');
    await bad.count(1);
    expect(bad.values).toEqual([{ nack: 'b', code: conflict.code, reason: conflict.told }]);
    const [letter] = run.output('errors').values as Letter[];
    expect(letter!.error.message).toMatch(/token/);
    expect(letter!.error.message).not.toBe(conflict.told);
  });

  test('if the query fails on its message: nothing of the query', async () => {
    const processors = `[{ type: sql, query: "SELECT id, CAST(token || '\${WORD}' AS INTEGER) AS n FROM flow" }]`;
    const run = await startEngine(file(undefined, processors), env);
    const bad = await sender(run);
    await send(bad.client, '{"id":"b","token":"x"}');
    await bad.count(1);
    expect(bad.values).toEqual([
      { nack: 'b', code: 'MILLRACE_PROCESSOR_FAILED', reason: 'the message could not be processed' },
    ]);
  });

  test('if a field differs from another sender’s only in case: nothing of the other', async () => {
    const run = await startEngine(file(undefined, '[{ type: sql, query: "SELECT *, 1 AS one FROM flow" }]'));
    const [first, second] = [await sender(run), await sender(run)];
    await send(first.client, '{"id":"a","privateName":1}');
    await first.count(1);
    await send(second.client, '{"id":"b","PRIVATENAME":1}');
    await second.count(1);
    expect(second.replies.join()).not.toContain('privateName');
  });

  test('in the ack of Web PubSub', async () => {
    const run = await startEngine(
      file().replace(`ack: ${ack}`, 'protocols: [json.webpubsub.azure.v1]').replace(SECRET, ''),
      env,
    );
    const { client } = await azureClient(await run.url(), { plain: true });
    await client.sendEvent('e', { token: 'x' }, 'json');
    const [outcome] = await Promise.allSettled([client.sendEvent('e', { token: 1 }, 'json')]);
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { errorDetail: { name: conflict.code, message: conflict.told } },
    });
  });

  test.each([
    ['reply', '{ type: websocket, mode: reply }'],
    ['sessions of a path', '{ type: websocket, mode: server, path: /in }'],
  ])('in a dead letter that goes to clients: %s', async (_, output) => {
    const { bad } = await conflicting(output);
    await send(bad.client, '{"id":"b","token":1}');
    await bad.count(2);
    const letter = (bad.values as Partial<Letter>[]).find(({ error }) => error !== undefined);
    expect(letter).toMatchObject({ error: { code: conflict.code, message: conflict.told } });
    expect(letter!.error).not.toHaveProperty('field');
  });

  test('in a dead letter that goes to whoever connects', async () => {
    const { run, bad } = await conflicting(
      '{ type: websocket, mode: server, host: 127.0.0.1, port: 0, path: /errors }',
    );
    const line = await until('the output to listen', () =>
      run.log.find(({ msg, stage }) => stage === 'error_output' && msg.startsWith('listening on ')),
    );
    const listener = new Sender(await connectClient(String(line['url'])));
    await send(bad.client, '{"id":"b","token":1}');
    await listener.count(1);
    expect(listener.values).toMatchObject([{ error: { code: conflict.code, message: conflict.told } }]);
  });
});

describe('a value from `${…}` is in no log line and in no dead letter', () => {
  const { start } = victims();

  test.each([
    ['a comparison', "SELECT id FROM flow WHERE token = '${WORD}'"],
    ['a cast', "SELECT id, CAST(token || '${WORD}' AS INTEGER) AS n FROM flow"],
  ])('%s', async (_, sql) => {
    const victim = await start(
      `
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json }, ack: ${ack} }
    pipeline: { processors: [ { type: sql, query: "${sql}", schema: { id: VARCHAR } } ] }
    output: { type: drop }
    error_output: { type: stdout }
`,
      { env },
    );
    const bad = new Sender(await connectClient(await victim.url()));
    await send(bad.client, '{"id":"b","token":1}');
    await bad.count(1);
    expect(bad.values).toMatchObject([{ nack: 'b' }]);
    await until('the dead letter', () => victim.lines.length === 1);
    const { error } = JSON.parse(victim.lines[0]!) as Letter;
    expect(error.message).toContain('***');
    await victim.logged(/^message sent to error_output/);
    expect(JSON.stringify([victim.lines, victim.log, bad.replies])).not.toContain(SECRET);
  });
});

test('every sentence is one line without any part of a message', () => {
  const sentences = Object.values(errorCodes).flatMap(({ told }) => told ?? []);
  expect(sentences.length).toBeGreaterThan(10);
  for (const told of sentences) {
    expect(told).toMatch(/^[a-z][\w ’,;-]+$/);
  }
});
