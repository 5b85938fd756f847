import { z } from 'zod';
import { duration } from '../../component/fields.ts';
import { PLAIN, RELIABLE } from './protocol.ts';

/** The option `web_pubsub` of a server. */
export const webPubSub = z
  .strictObject({
    recovery: duration('s', { min: 1, max: 3_600_000 })
      .default(60_000)
      .describe(
        'How long a reliable connection is kept after its socket is lost, with its groups and the messages that its client has not confirmed.',
      ),
  })
  .describe(`How clients of Azure Web PubSub are served, where \`protocols\` has \`${RELIABLE}\`.`);

/** Whether a server that picks among these subprotocols speaks the protocol of Azure Web PubSub. */
export function speaksWebPubSub(protocols: readonly string[]): boolean {
  return protocols.includes(PLAIN) || protocols.includes(RELIABLE);
}

/** Reports a setting that has no effect. */
export function checkWebPubSub(
  value: { readonly web_pubsub?: unknown; readonly protocols: readonly string[] },
  fail: (path: string[], message: string) => void,
): void {
  if (value.web_pubsub !== undefined && !value.protocols.includes(RELIABLE)) {
    fail(['web_pubsub'], `has no effect without ${RELIABLE} among \`protocols\``);
  }
}
