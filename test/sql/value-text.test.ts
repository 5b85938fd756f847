import { describe, expect, test } from 'vitest';
import { batchOf, open, runOn } from './support.ts';

const bytes = (query: string, ...payloads: readonly (string | Uint8Array)[]) =>
  open(query).then(({ query: opened }) => runOn(opened, batchOf(payloads, { format: 'bytes' })));

describe('a cast of __value__ to text', () => {
  test('is the text of the bytes, in every spelling, and keeps its name', async () => {
    const { rows, rejected } = await bytes(
      `SELECT /* ä */ cast( __value__  as string) as s, f.__value__::VARCHAR AS t, CAST("__value__" AS text),
         upper(f.__VALUE__::string) AS u, CAST(__value__ AS BLOB) = __value__ AS same
       FROM flow f WHERE cast(__value__ as string) LIKE '%ä%'`,
      'plain',
      'Bär "ä"\n',
      Buffer.of(0xe4, 0x9b, 0xb6, 0xc3, 0xa4),
    );
    expect(rejected).toEqual([]);
    expect(rows.map((row) => JSON.parse(row) as unknown)).toEqual(
      ['Bär "ä"\n', '䛶ä'].map((text) => ({
        s: text,
        t: text,
        'CAST(__value__ AS VARCHAR)': text,
        u: text.toUpperCase(),
        same: true,
      })),
    );
  });

  test('rejects the message that is no text alone, with the reason; TRY_CAST makes NULL of it', async () => {
    const bad = Buffer.of(0x61, 0xff);
    const { rows, rejected } = await bytes(
      'SELECT cast(__value__ AS string) AS s, * FROM flow',
      'a',
      bad,
      '',
      'b',
    );
    expect(rows.map((row) => JSON.parse(row) as unknown)).toEqual([
      { s: 'a', __value__: 'YQ==' },
      { s: '', __value__: '' },
      { s: 'b', __value__: 'Yg==' },
    ]);
    expect(rejected).toEqual([expect.stringMatching(/^1: MILLRACE_PROCESSOR_FAILED .*invalid UTF8/)]);
    expect((await bytes('SELECT TRY_CAST(__value__ AS VARCHAR) AS s FROM flow', 'a', bad)).rows).toEqual([
      '{"s":"a"}',
      '{"s":null}',
    ]);
  });

  test('is the same for text, and for JSON that is no object or has such a field', async () => {
    const { query } = await open('SELECT cast(__value__ AS string) AS s FROM flow');
    expect((await runOn(query, batchOf(['ä', '{"a":1}'], { format: 'text' }))).rows).toEqual([
      '{"s":"ä"}',
      '{"s":"{\\"a\\":1}"}',
    ]);
    const field = await open('SELECT cast(__value__ AS string) AS s FROM flow');
    expect((await runOn(field.query, batchOf(['{"__value__":"ä"}']))).rows).toEqual(['{"s":"ä"}']);
  });

  test('is the whole message, as it came, where that is a JSON object', async () => {
    const { run } = await open('SELECT a, cast(__value__ AS string) AS s FROM flow');
    const texts = [
      ' { "a" : 1.10 }\n',
      '{"__value__":{"b":2}}',
      '[ 1 ]',
      '{"b":"ä"}',
      '{"__value__":"\\u00e4"}',
      '"x"',
    ];
    expect((await run(...texts)).rows.map((row) => JSON.parse(row) as unknown)).toEqual([
      { a: 1.1, s: texts[0] },
      { a: null, s: '{"b":2}' },
      { a: null, s: '[ 1 ]' },
      { a: null, s: '{"b":"ä"}' },
      { a: null, s: 'ä' },
      { a: null, s: 'x' },
    ]);
    const all = await open(
      'SELECT *, cast( __value__ as string) as y FROM flow WHERE cast(__value__ AS string) LIKE $$%7%$$',
    );
    expect((await all.run('{"a":7}', '{"a":8}')).rows.map((row) => JSON.parse(row) as unknown)).toEqual([
      { a: 7, __value__: { a: 7 }, y: '{"a":7}' },
    ]);
  });

  test('is the JSON of a row that another query made', async () => {
    const first = await open('SELECT sum(a) AS sum, 1.50 AS x FROM flow', { typed: true });
    const { batch } = await runOn(first.query, batchOf(['{"a":1}', '{"a":2}']));
    expect(batch!.rows).toBeDefined();
    const { query } = await open('SELECT *, cast( __value__ as string) as y FROM flow');
    expect(JSON.parse((await runOn(query, batch!)).rows[0]!)).toEqual({
      sum: 3,
      x: 1.5,
      __value__: { sum: 3, x: 1.5 },
      y: '{"sum":3,"x":1.50}',
    });
  });

  test('leaves other casts alone, and mistakes keep their places', async () => {
    const { rows } = await bytes("SELECT CAST('\\xC3\\xA4'::BLOB AS VARCHAR) AS other FROM flow", 'a');
    expect(rows).toEqual(['{"other":"\\\\xC3\\\\xA4"}']);
    await expect(open('SELECT cast(__value__ AS string) AS s,\n  nothing(1) FROM flow')).rejects.toThrow(
      /nothing[^]*line 2/,
    );
  });
});
