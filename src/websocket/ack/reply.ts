import { MessageTemplate, type MessageValues } from '../../component/message-template.ts';
import type { TemplateNames } from '../../component/template.ts';
import { base64Of, type OutgoingConfig } from '../messages.ts';

/** What `{{…}}` may name in the reply to a message that is confirmed. */
export const replyNames: TemplateNames = {
  id: 'what is at `id` of the message; without `id`, its number in the session',
  ids: 'with `batch`: the ids of all messages that are confirmed together, as a JSON list without its brackets',
  sequence: 'the message’s number in the session, from 1',
};

/** What it may name in the reply to one that is rejected. */
export const rejectReplyNames: TemplateNames = {
  id: replyNames['id']!,
  sequence: replyNames['sequence']!,
  code: 'the code of the error',
  reason: 'one sentence that says what the code means',
};

/** A reply, ready to be filled in. */
export interface Reply {
  readonly binary: boolean;
  readonly uses: ReadonlySet<string>;
  /** The names that stand where they can only be text or one value. */
  readonly quoted: ReadonlySet<string>;
  /** Undefined when a name in it has neither a value nor a default. */
  render(values: MessageValues): string | Buffer | undefined;
}

/** @throws Error when a template in it is wrong */
export function compileReply(config: OutgoingConfig, names: TemplateNames): Reply {
  const base64 = base64Of(config);
  if (base64 !== undefined) {
    const payload = Buffer.from(base64, 'base64');
    return { binary: true, uses: new Set(), quoted: new Set(), render: () => payload };
  }
  const template = MessageTemplate.compile(config, names);
  const { uses, quoted } = template;
  return { binary: false, uses, quoted, render: (values) => template.tryRender(values) };
}
