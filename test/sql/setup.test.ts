import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';
import { open } from './support.ts';

const dir = tempDir();

test('a query uses the functions, views and tables of its setup', async () => {
  const { run } = await open('SELECT fahrenheit(t) AS f, name FROM flow JOIN floors USING (floor)', {
    setup: `
      CREATE MACRO fahrenheit(c) AS c * 9 / 5 + 32;
      CREATE TABLE levels AS SELECT * FROM (VALUES (1, 'roof'), (2, 'cellar')) AS v(floor, name);
      CREATE VIEW floors AS SELECT floor, upper(name) AS name FROM levels;`,
  });
  expect((await run('{"t":100,"floor":1}', '{"t":0,"floor":2}', '{"t":0,"floor":3}')).rows).toEqual([
    '{"f":212.0,"name":"ROOF"}',
    '{"f":32.0,"name":"CELLAR"}',
  ]);
});

test('a function that hides an aggregate sees the whole batch', async () => {
  const { run } = await open('SELECT total(t) AS sum FROM flow', {
    setup: 'CREATE MACRO total(x) AS sum(x)',
  });
  expect((await run('{"t":1}', '{"t":2}')).rows).toEqual(['{"sum":3}']);
});

test('a table function of the setup is a table', async () => {
  const { run } = await open('SELECT t, n FROM flow, upto(2)', {
    setup: 'CREATE MACRO upto(most) AS TABLE SELECT unnest(range(most)) AS n',
  });
  expect((await run('{"t":1}')).rows).toEqual(['{"t":1,"n":0}', '{"t":1,"n":1}']);
});

test.each([
  ['CREATE MACRO', 'SELECT 1 AS a FROM flow', /syntax error/],
  ['CREATE TEMP TABLE t AS SELECT 1 AS a', 'SELECT 1 AS a FROM flow', /t is temporary.*without TEMP/],
  [
    "CREATE TABLE t AS FROM read_csv('/etc/passwd')",
    'SELECT 1 AS a FROM flow',
    /file system operations are disabled/,
  ],
  ['SET memory_limit = "1TB"', 'SELECT 1 AS a FROM flow', /configuration has been locked/],
])('the setup %s is refused', async (setup, query, message) => {
  await expect(open(query, { setup })).rejects.toMatchObject({
    code: 'MILLRACE_SQL_INVALID',
    field: 'setup',
    message: expect.stringMatching(message) as string,
  });
});

const join2 = 'SELECT id, name FROM flow LEFT JOIN sites USING (id) ORDER BY id';

test.each([
  ['sites.csv', 'id,name\n1,roof\n2,"cellar, old"\n'],
  ['sites.tsv', 'id\tname\n1\troof\n2\tcellar, old\n'],
  ['sites.jsonl', '{"id":1,"name":"roof"}\n{"id":2,"name":"cellar, old"}\n'],
  ['sites.json', '[{"id":1,"name":"roof"},\n{"id":2,"name":"cellar, old"}]'],
])('%s is a reference table', async (name, content) => {
  const { run } = await open(join2, { tables: { sites: dir.file(name, content) } });
  expect((await run('{"id":2}', '{"id":1}', '{"id":3}')).rows).toEqual([
    '{"id":1,"name":"roof"}',
    '{"id":2,"name":"cellar, old"}',
    '{"id":3,"name":null}',
  ]);
});

test('a reference table follows its file, and stays as it was while the file cannot be read', async () => {
  const file = dir.file('follows.csv', 'id,name\n1,roof\n');
  const { run, query } = await open(join2, { tables: { sites: file } });
  expect((await run('{"id":1}')).rows).toEqual(['{"id":1,"name":"roof"}']);
  dir.file('follows.csv', 'id,name\n1,cellar\n');
  await until('the new table', async () => (await run('{"id":1}')).rows[0] === '{"id":1,"name":"cellar"}');
  rmSync(file);
  await until('a reason', async () => {
    expect((await run('{"id":1}')).rows).toEqual(['{"id":1,"name":"cellar"}']);
    return /the table sites is not up to date: .*follows\.csv/.test(query.notReady() ?? '');
  });
  dir.file('follows.csv', 'id,name\n1,garden\n');
  await until(
    'the file of today',
    async () => (await run('{"id":1}')).rows[0] === '{"id":1,"name":"garden"}',
  );
  expect(query.notReady()).toBeUndefined();
});

test('reference tables give a query no other file', async () => {
  const file = dir.file('only.csv', 'id\n1\n');
  const other = dir.file('other.csv', 'id\n1\n');
  const setup = `CREATE TABLE t AS FROM read_csv('${other}')`;
  await expect(open('FROM flow', { tables: { only: file }, setup })).rejects.toThrow(
    /disabled by configuration/,
  );
});

test.each([
  [join(dir.path, 'missing.csv'), /missing\.csv/],
  [join(dir.path, 'sites.xlsx'), /expected a name that ends in \.csv/],
])('the reference table %s is a mistake', async (file, message) => {
  await expect(open('FROM flow', { tables: { sites: file } })).rejects.toMatchObject({
    code: 'MILLRACE_SQL_INVALID',
    field: 'tables.sites',
    message: expect.stringMatching(message) as string,
  });
});
