import { expect, test } from 'vitest';
import { debeziumJsonCodec } from '../../src/components/codecs/debezium-json.ts';
import { batchOf, createCodec, rejections, textsOf } from '../support/payload-cases.ts';

const codec = createCodec(debeziumJsonCodec);

const decode = (...messages: readonly string[]) => {
  const rejected = rejections();
  const decoded = codec.decode(batchOf(messages), rejected.reject);
  return { rows: textsOf(decoded), format: decoded.format, rejected };
};

const source = '{"version":"3.2","db":"shop","table":"users","ts_ms":1}';

test('a change becomes the row that it is about, with every value as it was spelt', () => {
  const insert = `{"before":null,"after":{"id":1,"price":1.10},"source":${source},"op":"c","ts_ms":1700000000000}`;
  const update = `{"op":"u","ts_ms":2,"before":{"id":1,"price":1.10},"after":{"id":1,"price":2e0},"source":${source}}`;
  const remove = `{"op":"d","ts_ms":3,"before":{"id":1,"note":"a\\"b"},"after":null,"source":${source}}`;
  const origin = `"source_db":"shop","source_table":"users"`;
  const text = JSON.stringify(source);
  const { rows, format, rejected } = decode(insert, update, remove);
  expect(rejected.all).toEqual([]);
  expect(format).toBe('json');
  expect(rows).toEqual([
    `{"id":1,"price":1.10,"op":"c","ts_ms":1700000000000,${origin},"before":null,"source":${text}}`,
    `{"id":1,"price":2e0,"op":"u","ts_ms":2,${origin},"before":"{\\"id\\":1,\\"price\\":1.10}","source":${text}}`,
    `{"id":1,"note":"a\\"b","op":"d","ts_ms":3,${origin},"before":${JSON.stringify('{"id":1,"note":"a\\"b"}')},"source":${text}}`,
  ]);
});

test('an event beside its schema is the same event, and what is absent is null', () => {
  const { rows } = decode('{"schema":{"type":"struct"},"payload":{"after":{"id":1},"op":"r"}}', '{"op":"t"}');
  expect(rows.map((row) => JSON.parse(row) as unknown)).toEqual([
    { id: 1, op: 'r', ts_ms: null, source_db: null, source_table: null, before: null, source: null },
    { op: 't', ts_ms: null, source_db: null, source_table: null, before: null, source: null },
  ]);
});

test('a column that has the name of a fact of the event gives way to it', () => {
  const { rows } = decode('{"op":"c","ts_ms":5,"after":{"op":"mine","id":1,"source":"x"}}');
  expect(JSON.parse(rows[0]!)).toEqual(expect.objectContaining({ id: 1, op: 'c', ts_ms: 5, source: null }));
  expect(rows[0]).not.toContain('mine');
});

test('a message that is no event is rejected alone', () => {
  const { rows, rejected } = decode('{"id":1}', '{"op":"c","after":{"id":2}}', 'null', '[]', '{', '"op"');
  expect(rows).toHaveLength(1);
  expect(rejected.indices).toEqual([0, 2, 3, 4, 5]);
  expect(rejected.codes).toEqual([
    'MILLRACE_CODEC_NO_EVENT',
    'MILLRACE_CODEC_NO_EVENT',
    'MILLRACE_CODEC_NO_EVENT',
    'MILLRACE_CODEC_INVALID_JSON',
    'MILLRACE_CODEC_NO_EVENT',
  ]);
});
