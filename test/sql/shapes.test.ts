import { expect, test } from 'vitest';
import type { Run } from '../../src/message/batch.ts';
import { batchOf, open, runOn } from './support.ts';

/** One batch, with a session for each message. */
function from(...sent: readonly (readonly [sender: string, text: string])[]) {
  const runs: Run[] = sent.map(([sender], start) => ({
    start,
    origin: { source: 'ws://here', ext: { session_id: sender } },
    time: 1_700_000_000_000_000,
  }));
  return batchOf(
    sent.map(([, text]) => text),
    { runs },
  );
}

const OBJECT = ['x', '{"id":0,"tags":{"a":1}}'] as const;
const LISTS = [
  ['a', '{"id":1,"tags":["x","y"]}'],
  ['b', '{"id":2,"tags":["x"]}'],
  ['c', '{"id":3,"tags":[]}'],
] as const;

test.each(['SELECT id, len(tags) AS n FROM flow', 'SELECT id, json_array_length(tags) AS n FROM flow'])(
  '%s: an object, first or not, leaves the lists of most senders alone, batch after batch',
  async (sql) => {
    const { query } = await open(sql);
    await runOn(query, from(OBJECT));
    for (let round = 0; round < 4; round++) {
      const { rows, rejected } = await runOn(query, from(OBJECT, ...LISTS));
      expect(rows).toEqual(['{"id":1,"n":2}', '{"id":2,"n":1}', '{"id":3,"n":0}']);
      expect(rejected).toEqual([expect.stringMatching(/^0: MILLRACE_SQL_FIELD_CONFLICT field tags: /)]);
    }
  },
);
