import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { batchOf, codes, decode, framingOf, reasons, texts } from './support.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const split = (config: Parameters<typeof framingOf>[0], frame: string | Buffer) =>
  framingOf(config).unframer.split(typeof frame === 'string' ? bytes(frame) : frame, false);
const invalid = 'MILLRACE_FRAMING_INVALID';

test('a line ends with LF or CR LF; blank lines and the missing end of the last one do not matter', () => {
  const { messages, errors } = split({ type: 'lines' }, '\n{"a":1}\r\n \t\r\n\n{"b":2}\n  x \n{"c":3}');
  expect(texts(messages)).toEqual(['{"a":1}', '{"b":2}', '  x ', '{"c":3}']);
  expect(errors).toBeUndefined();
  expect(split({ type: 'lines' }, '').messages).toEqual([]);
});

test('a message that is too long is rejected with its bytes, and the others go on', () => {
  for (const [config, frame, part] of [
    [{ type: 'lines' }, 'one\nlonger\ntwo\n', 'longer'],
    [{ type: 'delimiter', delimiter: '\x1e' }, 'one\x1elonger\x1etwo\x1e', 'longer'],
    [{ type: 'json_array' }, '[1.5,"longer",222]', '"longer"'],
  ] as const) {
    const found = split({ ...config, max_message_size: 5 }, frame);
    expect(texts(found.messages)).toEqual([
      frame.slice(config.type === 'json_array' ? 1 : 0).slice(0, 3),
      part,
      config.type === 'json_array' ? '222' : 'two',
    ]);
    expect(codes(found)).toEqual({ 1: 'MILLRACE_FRAMING_TOO_LONG' });
    expect(reasons(found)[0]).toContain('max_message_size');
  }
});

test('a frame with too many messages is rejected from the first message beyond the limit', () => {
  const lines = split({ type: 'lines', max_messages: 2 }, '1\n2\n3\n4\n');
  expect(texts(lines.messages)).toEqual(['1', '2', '3\n4\n']);
  expect(codes(lines)).toEqual({ 2: invalid });
  const lengths = split({ type: 'length_delimited', prefix: 1, max_messages: 1 }, '\x01a\x01b\x01c');
  expect(texts(lengths.messages)).toEqual(['a', '\x01b\x01c']);
});

describe('delimiter', () => {
  const signalr = { type: 'delimiter', delimiter: '\x1e' };

  test('a record without an end is rejected, and those before it go on', () => {
    const found = split(signalr, '{}\x1e{"type":6}\x1e{"type":1');
    expect(texts(found.messages)).toEqual(['{}', '{"type":6}', '{"type":1']);
    expect(codes(found)).toEqual({ 2: invalid });
  });

  test('with `terminated: false` the last one needs none', () => {
    const found = split({ ...signalr, terminated: false, delimiter: '\r\n' }, 'a\r\n\r\nb');
    expect(texts(found.messages)).toEqual(['a', '', 'b']);
    expect(found.errors).toBeUndefined();
  });
});

describe('json_array', () => {
  test.each([
    ['[1,2', 'it ends too early'],
    ['[1,]', 'unexpected `]`'],
    ['[1 2]', 'unexpected `2`'],
    ['[{]}]', 'unexpected'],
    ['[1][2]', 'unexpected `[`'],
    ['{"a":[1]}', 'not an array'],
    ['"[1]"', 'not an array'],
    ['', 'the message is empty'],
    ['[1,2]x', 'unexpected `x`'],
  ])('%s is rejected as a whole', (frame, reason) => {
    const found = split({ type: 'json_array' }, frame);
    expect(texts(found.messages)).toEqual([frame]);
    expect(codes(found)).toEqual({ 0: invalid });
    expect(reasons(found)[0]).toContain(reason);
  });

  test('elements go on byte for byte, without the space around them', () => {
    const frame = ' [ {"a" : [1, "],["]} ,\n 12345678901234567890.10 , "\\"]\\\\" , [ ] , null ]\n';
    const found = split({ type: 'json_array' }, frame);
    expect(texts(found.messages)).toEqual([
      '{"a" : [1, "],["]}',
      '12345678901234567890.10',
      '"\\"]\\\\"',
      '[ ]',
      'null',
    ]);
    expect(split({ type: 'json_array' }, '[ ]').messages).toEqual([]);
  });

  test('in a stream, messages before the first wrong byte go on', () => {
    const { unframer } = framingOf({ type: 'json_array' });
    const found = decode(unframer, [bytes('[1,2]\n[3,[4'), bytes('}],5] [6]')]);
    expect(texts(found.messages).slice(0, 3)).toEqual(['1', '2', '3']);
    expect(Object.values(codes(found))).toEqual([invalid]);
  });
});

describe('length_delimited', () => {
  test.each([
    [{ prefix: 4 }, '\0\0\0\x02ab', ['ab']],
    [{ prefix: 4, byte_order: 'little' }, '\x02\0\0\0ab', ['ab']],
    [{ prefix: 2, length_includes_prefix: true }, '\0\x04ab\0\x02\0\x03c', ['ab', '', 'c']],
    [{ prefix: 'varint' }, '\x02ab\x00\x81\x00c', ['ab', '', 'c']],
    [{ prefix: 8 }, '\0\0\0\0\0\0\0\x01a', ['a']],
  ])('%j', (fields, frame, expected) => {
    const found = split({ type: 'length_delimited', ...fields }, frame);
    expect(texts(found.messages)).toEqual(expected);
    expect(found.errors).toBeUndefined();
  });

  test.each([
    [
      'a length of more than there is',
      { prefix: 1 },
      '\x01a\x05bc',
      ['a', '\x05bc'],
      'the length is 5, and 2 bytes are left',
    ],
    ['half a length', { prefix: 4 }, '\0\0\0\x01a\0\0', ['a', '\0\0'], 'in the middle of a length'],
    [
      'a length less than its prefix',
      { prefix: 2, length_includes_prefix: true },
      '\0\x01abc',
      ['\0\x01abc'],
      'less than its own prefix',
    ],
    ['four gigabytes', { prefix: 4 }, '\xff\xff\xff\xffab', ['\xff\xff\xff\xffab'], 'max_message_size'],
    [
      'more bits than a number has',
      { prefix: 8 },
      '\xff\xff\xff\xff\xff\xff\xff\xffa',
      ['\xff\xff\xff\xff\xff\xff\xff\xffa'],
      'max_message_size',
    ],
    [
      'a varint without an end',
      { prefix: 'varint' },
      '\x01a' + '\xff'.repeat(20),
      ['a', '\xff'.repeat(20)],
      '49 bits',
    ],
  ])('%s is rejected with everything behind it', (_, fields, frame, parts, reason) => {
    const found = split({ type: 'length_delimited', ...fields }, frame);
    expect(texts(found.messages)).toEqual(parts);
    expect(codes(found)).toEqual({ [parts.length - 1]: invalid });
    expect(reasons(found)[0]).toContain(reason);
  });
});

describe('compression', () => {
  const config = { type: 'lines', compression: 'gzip' };
  const frame = gzipSync('one\ntwo\n');

  test.each([
    ['bytes that are no gzip', bytes('{"plain":true}')],
    ['a frame that was cut', frame.subarray(0, -3)],
    ['bytes behind its end', Buffer.concat([frame, bytes('rest')])],
    ['nothing', Buffer.alloc(0)],
  ])('%s: the frame is rejected unchanged', (_, bad) => {
    const found = split(config, bad);
    expect(found.messages).toEqual([bad]);
    expect(codes(found)).toEqual({ 0: 'MILLRACE_FRAMING_COMPRESSION' });
    expect(reasons(found)[0]).toMatch(/^not gzip: /);
  });

  test.each(['deflate', 'deflate_raw', 'zstd', 'br'])(
    'bytes behind the end of %s are not lost',
    (compression) => {
      const { framer, unframer } = framingOf({ type: 'lines', compression });
      const [good] = framer.frames(batchOf([bytes('one')])).batch.payloads;
      const bad = Buffer.concat([good!, bytes('two')]);
      expect(unframer.split(bad, false).messages).toEqual([bad]);
    },
  );

  test('a bomb is rejected when it has inflated to the bound', () => {
    const bomb = gzipSync(Buffer.alloc(20 * 1024 * 1024));
    const found = split(config, bomb);
    expect(found.messages).toEqual([bomb]);
    expect(reasons(found)).toEqual(['the frame inflates to more than `max_frame_size` (1048576 bytes)']);
  });

  test('a frame of text is never compressed', () => {
    expect(texts(framingOf(config).unframer.split(bytes('pong'), true).messages)).toEqual(['pong']);
  });
});

describe('a rejected part is read again with its code', () => {
  const again = (
    config: Parameters<typeof framingOf>[0],
    frame: string | Buffer,
    mended: Parameters<typeof framingOf>[0],
  ) => {
    const { messages, errors } = split(config, frame);
    const [[place, { code }] = [0, { code: '' }]] = errors ?? [];
    const found = framingOf(mended).unframer.again(messages[place]!, code);
    return { messages: texts(found.messages), rejected: codes(found) };
  };
  const array = { type: 'json_array' };

  test.each([
    ['the rest of an array', { ...array, max_messages: 1 }, '[1, [2],3 ]', array, ['[2]', '3']],
    [
      'the rest of lengths',
      { type: 'length_delimited', prefix: 1, max_messages: 1 },
      '\x01a\x01b\x01c',
      { type: 'length_delimited', prefix: 1 },
      ['b', 'c'],
    ],
    ['a message in an array', { ...array, max_message_size: 4 }, '["longer"]', array, ['"longer"']],
    [
      'a message between delimiters',
      { type: 'delimiter', delimiter: ';', max_message_size: 4 },
      'longer;',
      { type: 'delimiter', delimiter: ';' },
      ['longer'],
    ],
    [
      'a message without an end',
      { type: 'delimiter', delimiter: ';' },
      'a;b',
      { type: 'delimiter', delimiter: ';', terminated: false },
      ['b'],
    ],
    [
      'a frame of another compression',
      { type: 'lines', compression: 'zstd' },
      gzipSync('a\nb\n'),
      { type: 'lines', compression: 'gzip' },
      ['a', 'b'],
    ],
    [
      'a part of an inflated frame',
      { type: 'lines', compression: 'gzip', max_messages: 1 },
      gzipSync('a\nb\nc\n'),
      { type: 'lines', compression: 'gzip' },
      ['b', 'c'],
    ],
  ])('%s', (_, config, frame, mended, expected) => {
    expect(again(config, frame, mended)).toEqual({ messages: expected, rejected: {} });
  });

  test('with the same configuration it is rejected again, unchanged', () => {
    const cut = { ...array };
    expect(again(cut, '[1,2', cut)).toEqual({ messages: ['[1,2'], rejected: { 0: invalid } });
    const short = { type: 'lines', max_message_size: 3 };
    expect(again(short, 'longer', short)).toEqual({
      messages: ['longer'],
      rejected: { 0: 'MILLRACE_FRAMING_TOO_LONG' },
    });
    const zstd = { type: 'lines', compression: 'zstd' };
    expect(again(zstd, 'plain', zstd)).toEqual({
      messages: ['plain'],
      rejected: { 0: 'MILLRACE_FRAMING_COMPRESSION' },
    });
    const one = { ...array, max_messages: 1 };
    expect(again(one, '[1,2,3]', one)).toEqual({ messages: ['2', '3]'], rejected: { 1: invalid } });
  });
});
