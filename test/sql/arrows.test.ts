import { expect, test } from 'vitest';
import { bindArrows } from '../../src/sql/arrows.ts';
import { edit, unedited } from '../../src/sql/edits.ts';
import { open } from './support.ts';

test.each([
  ["d->>'a' = 'x'", "(d->>'a') = 'x'"],
  ["id > 0 AND d->>'a' = 'x'", "id > 0 AND (d->>'a') = 'x'"],
  ["NOT d->>'a' IS NULL", "NOT (d->>'a') IS NULL"],
  ["d->'a'->'b'->>0 || '!'", "(((d->'a')->'b')->>0) || '!'"],
  ["d -> 'a' /* -> */ ->> 'b' -- ->\n= 1", "((d -> 'a') /* -> */ ->> 'b') -- ->\n= 1"],
  ["f.d[1].x->>'it''s' LIKE 'x%'", "(f.d[1].x->>'it''s') LIKE 'x%'"],
  ['"a ->b"->>"c -> d" > 1', '("a ->b"->>"c -> d") > 1'],
  ["(d->>'n')::INT + 1", "((d->>'n'))::INT + 1"],
  ["d->>'n'::INT + 1", "(d->>'n')::INT + 1"],
  ["body::JSON->>'id' = '1'", "(body::JSON->>'id') = '1'"],
  ["CAST(body AS JSON)->'a' = 1", "(CAST(body AS JSON)->'a') = 1"],
  ["JSON '{}'->'a' = 1", "(JSON '{}'->'a') = 1"],
  [
    "coalesce(a->>'x', b->>(lower(k)), c->>k.y[1]) = 'x'",
    "coalesce((a->>'x'), (b->>(lower(k))), (c->>k.y[1])) = 'x'",
  ],
  [
    "CASE WHEN a->>'x' = 'y' THEN b ELSE c END ->> 'z' = ''",
    "(CASE WHEN (a->>'x') = 'y' THEN b ELSE c END ->> 'z') = ''",
  ],
  ["x IN (d->>'a', 'b') OR d->-1 = 2", "x IN ((d->>'a'), 'b') OR (d->-1) = 2"],
  ["{'a': d->'b'}->'a' = 1", "({'a': (d->'b')}->'a') = 1"],
  ['list_transform(l, x -> x + 1)', 'list_transform(l, x -> x + 1)'],
  ["list_filter(d->'l', x -> x->>'a' = 'b' AND y)", "list_filter((d->'l'), x -> (x->>'a') = 'b' AND y)"],
  ["list_transform(l, (x, i) -> x -> 'a' = i)", "list_transform(l, (x, i) -> (x -> 'a') = i)"],
  ["list_filter(l, lambda x: x->>'a' = 'b')", "list_filter(l, lambda x: (x->>'a') = 'b')"],
  ["$$ -> ''$$ || E'\\' -> ' || '-> ''' = 1", "$$ -> ''$$ || E'\\' -> ' || '-> ''' = 1"],
  ['->', '->'],
  ['a ->', 'a ->'],
])('%s is read as %s', (written, read) => {
  expect(bindArrows(unedited(written)).text).toBe(read);
});

test('places in the query are those of the text as the user wrote it', () => {
  const query = "SELECT é->>'a', 😀->>'b'->'c' = zzz\nFROM d->>'x' yyy";
  const first = bindArrows(unedited(query));
  const at = first.text.indexOf('SELECT');
  const second = edit(first, [{ start: at, end: at + 'SELECT'.length, text: 'SELECT a_much_longer_list,' }]);
  for (const [line, word] of [
    [1, 'zzz'],
    [1, 'é'],
    [1, '='],
    [2, 'yyy'],
    [2, 'd->>'],
  ] as const) {
    const column = (text: string): number =>
      Array.from(text.split('\n')[line - 1]!.split(word)[0]!).length + 1;
    for (const { text, original } of [first, second])
      expect(original({ line, column: column(text) })).toEqual({ line, column: column(query) });
  }
});

test('comparisons with arrows say what they seem to say', async () => {
  const texts = [
    '{"id":1,"d":{"a":"x"}}',
    '{"id":0,"d":{"a":"x"}}',
    '{"id":2,"d":{"a":"y"}}',
    '{"id":3,"d":{}}',
  ];
  const ids = async (where: string): Promise<number[]> => {
    const { run } = await open(`SELECT id FROM flow WHERE ${where}`);
    const { rows, rejected } = await run(...texts);
    expect(rejected).toEqual([]);
    return rows.map((row) => (JSON.parse(row) as { id: number }).id);
  };
  expect(await ids("id > 0 AND d->>'a' = 'x'")).toEqual([1]);
  expect(await ids("NOT d->>'a' IS NULL")).toEqual([1, 0, 2]);
  expect(await ids("d->>'a' IN ('x', 'y') AND id <> 1")).toEqual([0, 2]);
});

test('a mistake after an arrow has its place', async () => {
  const query = "SELECT d->>'a' AS x FROM flow\nWHERE d->>'a' = 'x' AND nofn(id)";
  await expect(open(query)).rejects.toThrow(/nofn does not exist.* \(line 2, column 25 of the query\)/);
  await expect(open("SELECT d->>'a' = 1 FRM flow WHERE")).rejects.toThrow(
    /\(line 1, column 24 of the query\)/,
  );
});
