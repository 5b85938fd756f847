import { messageValues } from '../../component/message-template.ts';
import type { TemplateValues } from '../../component/template.ts';
import { errorMessage } from '../../errors.ts';
import { extText } from '../../message/metadata.ts';
import type { ComponentEvents } from '../../telemetry/events.ts';
import { compileOutgoing, type OutgoingConfig } from '../messages.ts';
import type { Session } from '../session.ts';
import { timeValue } from '../../component/time-values.ts';
import { sessionNames } from './session-names.ts';

/** Makes a function that fills in the message of `welcome` for a session and sends it. */
export function compileWelcome(
  config: OutgoingConfig,
  events: ComponentEvents,
): ((session: Session) => void) | undefined {
  if (config === undefined) return undefined;
  const message = compileOutgoing(config, sessionNames);
  let told = false;
  return (session) => {
    try {
      const { payload, binary } = message(messageValues(valuesOf(session)));
      (session.dialect ?? session).send(payload, binary);
    } catch (error) {
      // The metadata depends on the client, so a missing value is no reason to turn it away.
      if (told) return;
      told = true;
      events.noticed({ session_id: session.id }, `a client gets no welcome message: ${errorMessage(error)}`);
    }
  };
}

function valuesOf({ ext }: Session): TemplateValues {
  const now = Date.now();
  return (name, argument = '') => {
    if (name !== 'meta') return timeValue(name, now);
    return extText(ext, argument);
  };
}
