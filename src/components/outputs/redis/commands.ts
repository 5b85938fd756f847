import { valueIn, type MessageColumn } from '../../../clients/message-value.ts';
import type { RedisCommand } from '../../../clients/redis/link.ts';
import type { RedisKind } from './config.ts';

/** The messages of a write, by their places in its batch. */
export interface Outgoing {
  readonly payloads: readonly Uint8Array[];
  /** The key, stream or channel of each. */
  readonly keys: MessageColumn;
  /** The field of a hash. */
  readonly fields: MessageColumn;
  /** The other fields of an entry of a stream. */
  readonly others: ReadonlyMap<string, MessageColumn>;
}

/** A command, and the messages that it writes. */
export interface Writing {
  readonly command: RedisCommand;
  readonly indices: readonly number[];
}

/** Lists and hashes take several values at once: so many at most. */
const MOST_VALUES = 1_000;

/** The commands that write the messages, in order, but for those that `isLeftOut`. */
export function writingsOf(
  kind: RedisKind,
  outgoing: Outgoing,
  isLeftOut: (index: number) => boolean,
): Writing[] {
  const { payloads, keys, fields, others } = outgoing;
  const writings: Writing[] = [];
  let open: { command: (string | number | Buffer)[]; indices: number[] } | undefined;
  for (let index = 0; index < payloads.length; index++) {
    if (isLeftOut(index)) continue;
    const key = valueIn(keys, index)!;
    const payload = bufferOf(payloads[index]!);
    const joins =
      (kind.type === 'list' || kind.type === 'hashes') &&
      open !== undefined &&
      open.command[1] === key &&
      open.indices.length < MOST_VALUES;
    if (!joins) {
      open = { command: beginning(kind, key), indices: [] };
      writings.push(open);
    }
    const { command, indices } = open!;
    indices.push(index);
    if (kind.type === 'hashes') command.push(valueIn(fields, index)!);
    if (kind.type === 'stream') command.push(kind.body_key);
    command.push(payload);
    if (kind.type === 'strings' && kind.ttl !== undefined) command.push('PX', kind.ttl);
    for (const [name, column] of others) {
      const value = valueIn(column, index);
      if (value !== undefined) command.push(name, value);
    }
  }
  return writings;
}

const NAMES = { stream: 'xadd', list: 'rpush', hashes: 'hset', strings: 'set', publish: 'publish' };

function beginning(kind: RedisKind, key: string): (string | number)[] {
  const command = [NAMES[kind.type], key];
  if (kind.type !== 'stream') return command;
  return [...command, ...(kind.max_length === undefined ? [] : ['maxlen', '~', kind.max_length]), '*'];
}

function bufferOf(payload: Uint8Array): Buffer {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length);
}
