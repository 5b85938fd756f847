import { z } from 'zod';
import { duration } from '../../component/fields.ts';
import type { Fail } from '../../component/settings.ts';
import { ack as ackSchema, type AckConfig } from '../ack/ack-schema.ts';
import { PLAIN, RELIABLE } from './protocol.ts';

/** The option `web_pubsub` of a server. */
export const webPubSub = z
  .strictObject({
    recovery: duration('s', { min: 1, max: 3_600_000 })
      .default(60_000)
      .describe(
        'How long to keep a reliable connection after its socket is lost, with its groups and the messages that its client has not confirmed.',
      ),
  })
  .describe(`How to serve clients of Azure Web PubSub. Needs \`${RELIABLE}\` in \`protocols\`.`);

/** Whether a server that picks among these subprotocols speaks the protocol of Azure Web PubSub. */
export function speaksWebPubSub(protocols: readonly string[]): boolean {
  return protocols.includes(PLAIN) || protocols.includes(RELIABLE);
}

interface Checked {
  readonly protocols: readonly string[];
  readonly protocol_required: boolean;
  readonly ack?: AckConfig | undefined;
}

/** Reports settings that have no effect; `isGiven` says whether the file has `web_pubsub`. */
export function checkWebPubSub(value: Checked, isGiven: boolean, fail: Fail): void {
  const { protocols, protocol_required: required, ack } = value;
  if (isGiven && !protocols.includes(RELIABLE)) {
    fail(['web_pubsub'], `has no effect without ${RELIABLE} among \`protocols\``);
  }
  const alone = required && protocols.every((name) => name === PLAIN || name === RELIABLE);
  if (!alone || ack === undefined) return;
  const why =
    'here: with `protocol_required`, only clients of Web PubSub connect, and their protocol has its own confirmations';
  if (ack.when === 'delivered')
    return fail(['ack'], `has no effect ${why}; expected \`when: stored\`, or none`);
  const defaults = ackSchema.parse({ reply: '' });
  for (const name of ['id', 'reject_reply', 'batch', 'max_unacknowledged'] as const) {
    if (ack[name] !== defaults[name]) fail(['ack', name], `has no effect ${why}`);
  }
}
