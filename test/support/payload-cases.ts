import type { AnyDefinition } from '../../src/component/define.ts';
import type { Codec, ProcessCall, Reject } from '../../src/component/contracts.ts';
import type { Rejection } from '../../src/errors.ts';
import { Batch, type Origin } from '../../src/message/batch.ts';
import { noReceipt } from '../../src/message/receipt.ts';

export const origin: Origin = { source: 'ws://test', ext: { session_id: '1' } };

/** A component as the engine would make it, of a config that its schema has parsed; for those that need no context. */
export function create<T>(
  definition: AnyDefinition<T> & { create(config: never, context: never): T },
  config: object = {},
): T {
  if (typeof definition.schema === 'function') throw new Error('not a plain schema');
  return Reflect.apply(definition.create, definition, [definition.schema.parse(config), {}]);
}

/** A codec that gives no promises, as the engine would make it. */
export const createCodec = (definition: AnyDefinition<Codec>): SyncCodec => create(definition) as SyncCodec;

interface SyncCodec {
  decode(batch: Batch, reject: Reject): Batch;
  encode(batch: Batch, reject: Reject): Batch;
}

/** A batch of one session whose messages are numbered from 100. */
export function batchOf(
  payloads: readonly (string | Uint8Array)[],
  options: { messageType?: 'text' | 'binary'; format?: 'bytes' | 'text' | 'json' } = {},
) {
  const { messageType, format = 'bytes' } = options;
  const runs = [{ start: 0, origin, time: 1_700_000_000_000_000, sequence: 100, messageType }];
  const bytes = payloads.map((payload) => (typeof payload === 'string' ? Buffer.from(payload) : payload));
  return new Batch(bytes, { runs, format });
}

export const textsOf = (batch: Batch): string[] =>
  batch.payloads.map((payload) => Buffer.from(payload).toString());

/** The number that each message had in its session. */
export const numbersOf = (batch: Batch): number[] =>
  batch.payloads.map((_, index) => Number(batch.metadata(index).ext['sequence']));

/** A `reject` that keeps its calls. */
export function rejections() {
  const all: Rejection[] = [];
  return {
    reject: (rejection: Rejection): void => void all.push(rejection),
    all,
    get indices(): number[] {
      return all.map((each) => each.index);
    },
    get codes(): string[] {
      return all.map((each) => each.error.code);
    },
  };
}

/** The arguments of a processor whose messages nobody waits for. */
export const callWith = ({ reject }: { readonly reject: Reject }): ProcessCall => ({
  reject,
  signal: AbortSignal.timeout(5_000),
  position: undefined,
  keep: () => noReceipt,
});

/** Wrong messages that, joined with others, would swallow, forge or break their neighbors. */
export const hostile: readonly (readonly [title: string, payloads: readonly (string | Uint8Array)[]])[] = [
  ['an array in two halves', ['[1', '2]']],
  ['a string in two halves', ['"a', 'b"']],
  ['two values in one', ['{}, {}']],
  ['two, half and half, which balance', ['{}, {}', '{"a":', '1}']],
  ['one closed early and one opened late', ['{}],[{}']],
  ['a comment', ['/*', '*/']],
  ['a byte order mark', ['\ufeff{}']],
  ['nothing', ['', ' ', '\n']],
  ['a comma', [',']],
  ['a NUL and a line feed in a string', ['"\u0000"', '"\n"']],
  ['bytes that are not UTF-8', [Buffer.from('"\xff"', 'latin1'), Buffer.from('{"\xc3":1}', 'latin1')]],
  ['deep nesting', ['['.repeat(100_000), '{"a":'.repeat(513) + '1' + '}'.repeat(513)]],
];

/** Messages that are right, however odd, and must come through byte for byte. */
export const odd: readonly string[] = [
  '{"__proto__":{"admin":true},"constructor":1}',
  '12345678901234567890.10e+400',
  '{"n":9007199254740993}',
  '"\\u0000\\n\\ud800"',
  ' \r\n[1 , 2]\t',
  '[[],{}]',
  'null',
  '"],[{}"',
  '{"a":1,"a":2}',
  '{"😀":"\u007f\u2028"}',
];
