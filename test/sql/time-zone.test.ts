import { expect, test } from 'vitest';
import { configMistakes } from '../support/engine.ts';
import { batchOf, open, runOn } from './support.ts';

/** 2026-01-01T20:00:00.000001Z, in India the next day. */
const RECEIVED = 1_767_297_600_000_001;
const RUNS = [{ start: 0, origin: { source: 's', ext: {} }, time: RECEIVED }];
const QUERY = `
  SELECT hour(__meta_ingest_time) AS hour, __meta_ingest_time::DATE AS day, date_trunc('day', __meta_ingest_time) AS since,
    __meta_ingest_time AT TIME ZONE 'America/New_York' AS york, text::TIMESTAMPTZ AS at, __meta_ingest_time AS received,
    hour(now()) = hour(now() AT TIME ZONE '{zone}') AS same, typeof(__meta_ingest_time) AS type
  FROM flow`;

test.each([
  ['UTC', { hour: 20, day: '2026-01-01', since: '2026-01-01T00:00:00Z', at: '2026-06-01T00:00:00Z' }],
  ['Asia/Kolkata', { hour: 1, day: '2026-01-02', since: '2026-01-01T18:30:00Z', at: '2026-05-31T18:30:00Z' }],
])('a query runs in %s, and its times are the same moments everywhere', async (timezone, expected) => {
  const { query } = await open(QUERY.replace('{zone}', timezone), { timezone });
  const { rows } = await runOn(query, batchOf(['{"text":"2026-06-01 00:00:00"}'], { runs: RUNS }));
  const row = JSON.parse(rows[0]!) as Record<string, unknown>;
  expect(row).toEqual({
    ...expected,
    york: '2026-01-01T15:00:00.000001',
    received: '2026-01-01T20:00:00.000001Z',
    same: true,
    type: 'TIMESTAMP WITH TIME ZONE',
  });
  // As a browser reads it.
  expect(new Date(String(row['received'])).getTime()).toBe(Math.floor(RECEIVED / 1000));
});

test.each(['Europe/Berlni', '+02:00', ''])('the time zone “%s” is a mistake of the file', (zone) => {
  const sql = `{ type: sql, query: SELECT 1, timezone: ${JSON.stringify(zone)} }`;
  const file = `[{ input: { type: generate, context: a }, pipeline: { processors: [${sql}] } }]`;
  expect(configMistakes(file)).toEqual([
    `[0].pipeline.processors[0].timezone: ${JSON.stringify(zone)} is not a time zone; expected an IANA name, such as UTC or Europe/Berlin`,
  ]);
});
