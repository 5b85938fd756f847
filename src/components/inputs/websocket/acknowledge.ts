import type { Context } from '../../../component/context.ts';
import { MillraceError } from '../../../errors.ts';
import { Acknowledger } from '../../../websocket/ack/acknowledger.ts';
import type { WebSocketInputConfig } from './config.ts';

type Config = Pick<WebSocketInputConfig, 'ack' | 'mode'>;

/** Confirms messages to their senders, if `ack` asks for it. */
export function acknowledgerOf({ ack, mode }: Config, { events }: Context): Acknowledger | undefined {
  return ack && new Acknowledger(ack, mode, events);
}

/** @throws MillraceError when `ack` waits for a log and the stream has none */
export function checkAck({ ack }: Config, { stream: { durability } }: Context): void {
  if (ack?.when !== 'stored' || durability !== undefined) return;
  throw new MillraceError(
    'MILLRACE_CONFIG_INVALID',
    '`stored` means that the log of the stream has the message, but this stream has no log; expected `delivered`, or `durability` of the stream with `enabled: true`',
    { field: 'ack.when', fatal: true },
  );
}
