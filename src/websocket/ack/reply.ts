import { MessageTemplate, type MessageValues } from '../../component/message-template.ts';
import type { TemplateNames } from '../../component/template.ts';
import { base64Of, type OutgoingConfig } from '../messages.ts';

/** The names that `{{…}}` may hold in the reply to a confirmed message. */
export const replyNames: TemplateNames = {
  id: 'the value at `id` in the message; without `id`, its number in the session',
  ids: 'with `batch`: the ids of all messages confirmed together, as a JSON list without its brackets',
  sequence: 'the message’s number in the session, from 1',
};

/** The names that it may hold in the reply to a rejected message. */
export const rejectReplyNames: TemplateNames = {
  id: replyNames['id']!,
  sequence: replyNames['sequence']!,
  code: 'the code of the error',
  reason: 'one sentence that explains the code',
};

/** A compiled reply. */
export interface Reply {
  readonly binary: boolean;
  readonly uses: ReadonlySet<string>;
  /** The names that stand where only text or one value fits. */
  readonly quoted: ReadonlySet<string>;
  /** Undefined if a name in it has neither a value nor a default. */
  render(values: MessageValues): string | Buffer | undefined;
}

/** @throws Error if a template in it is wrong */
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
