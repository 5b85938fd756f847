import { z } from 'zod';
import { jsonPath } from '../../message/json-path.ts';
import { outgoing } from '../messages.ts';
import { compileReply, rejectReplyNames, replyNames, type Reply } from './reply.ts';

/** The option `ack` of an input. */
export const ack = z
  .strictObject({
    when: z
      .enum(['stored', 'delivered'])
      .default('delivered')
      .describe(
        'When a message is confirmed to its sender: with `delivered`, once the output has it, or `error_output` if it was rejected; with `stored`, once the log of `durability` has it. `stored` requires `durability`.',
      ),
    id: jsonPath
      .optional()
      .describe(
        'The JSON path of the id in a message, such as `envelope_id`. Without it, `{{id}}` is the message’s number in the session. A message without the id gets no reply.',
      ),
    reply: outgoing(replyNames).describe(
      'The reply to a confirmed message: text; `{ base64: … }`; or any other JSON value. Strings in it may hold `{{id}}` and `{{sequence}}`; with `batch`, `{{ids}}` and `{{sequence}}`.',
    ),
    reject_reply: outgoing(rejectReplyNames)
      .optional()
      .describe(
        'The reply to a rejected message, sent once it is in `error_output`. Like `reply`, with `{{id}}`, `{{sequence}}`, `{{code}}` and `{{reason}}`. Without it, a rejected message gets no reply.',
      ),
    batch: z
      .boolean()
      .default(false)
      .describe(
        'Sends one reply for all messages of a session that are confirmed together. `{{ids}}` is the JSON list of their ids without its brackets; `{{sequence}}` is the number up to which all messages of the session are settled.',
      ),
    max_unacknowledged: z
      .int()
      .min(1)
      .max(10_000_000)
      .default(10_000)
      .describe(
        'When this many messages of a session wait for their confirmation, the session is not read until half of them are confirmed.',
      ),
  })
  .superRefine((value, context) => {
    check(value, (field, message) => context.addIssue({ code: 'custom', path: [field], message }));
  })
  .describe('Tells the sender of each message, in a message of its own, that it is safe.');

export type AckConfig = z.output<typeof ack>;

type Fail = (field: string, message: string) => void;

/** Reports mistakes of templates that are correct by themselves but do not fit together. */
function check(value: AckConfig, fail: Fail): void {
  const reply = compiled(value.reply, replyNames);
  const reject = value.reject_reply === undefined ? none : compiled(value.reject_reply, rejectReplyNames);
  // A mistake in a template is reported elsewhere.
  if (reply === undefined || reject === undefined) return;
  if (reply.uses.has('ids') && !value.batch) fail('reply', '{{ids}} needs `batch: true`; expected {{id}}');
  if (reply.uses.has('id') && value.batch) {
    fail('reply', 'with `batch`, a reply is for several messages; expected {{ids}} or {{sequence}}');
  }
  if (reply.quoted.has('ids')) {
    fail(
      'reply',
      '{{ids}} is a list without its brackets; write it in text and without quotes, as [{{ids}}]',
    );
  }
  const used = [reply, reject].some(({ uses }) => uses.has('id') || uses.has('ids'));
  if (value.id !== undefined && !used) {
    fail('id', 'no reply uses it; expected {{id}} in `reply` or `reject_reply`, or {{ids}} with `batch`');
  }
}

const none: Pick<Reply, 'uses'> = { uses: new Set() };

function compiled(value: unknown, names: Parameters<typeof compileReply>[1]): Reply | undefined {
  try {
    return compileReply(value, names);
  } catch {
    return undefined;
  }
}
