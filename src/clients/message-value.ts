import { z } from 'zod';
import type { Context } from '../component/context.ts';
import type { Reject } from '../component/contracts.ts';
import { checkMessageText, MessageText } from '../component/message-text.ts';
import { declareErrors, MillraceError } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { MessageSql } from './message-sql.ts';

/** The code of a message without a value that its output needs. */
export const messageValueErrors = declareErrors({
  MILLRACE_OUTPUT_NO_VALUE: {
    help: 'A message lacks a value that the output fills in for each message, such as a topic from `{{json:device}}`. It went to `error_output`. Give the value a default, as `{{json:device:-unknown}}`, if such messages should be written.',
    told: 'the message lacks a value that the output needs',
  },
});

const FORM = 'ArkFlow’s form: `value` for a text, `expr` for an expression.';

/**
 * A field whose value may differ for each message: a topic, a key, a table. `about` is its description; this adds how to
 * write it.
 */
export function messageValue(about: string) {
  return z
    .union([
      z.string().superRefine((text, context) => checkMessageText(text, context)),
      z.strictObject({
        type: z.literal('value').describe(FORM),
        value: z
          .union([z.string(), z.number(), z.boolean()])
          .transform(String)
          .describe('The same text for every message, as it stands.'),
      }),
      z.strictObject({
        type: z.literal('expr').describe(FORM),
        expr: z.string().min(1).describe('An SQL expression over the fields of a message.'),
      }),
    ])
    .describe(
      `${about} Text with \`{{json:PATH}}\`, \`{{meta:NAME}}\`, \`{{key}}\` and the like is filled in for each message. ArkFlow’s forms are read as well: \`{ type: value, value: TEXT }\` is the text as it stands, and \`{ type: expr, expr: SQL }\` is an SQL expression over the fields of the message.`,
    );
}

export type MessageValueConfig = z.output<ReturnType<typeof messageValue>>;

/** The values of a batch: one for all its messages, or one for each; undefined for a message without one. */
export type MessageColumn = string | readonly (string | undefined)[];

/** The value of the message at `index`. */
export function valueIn(column: MessageColumn, index: number): string | undefined {
  return typeof column === 'string' ? column : column[index];
}

/** A value of such a field, evaluated once for each batch. Made once, from a checked field. */
export class MessageValue {
  /** The value, if it is the same for every message. */
  readonly constant: string | undefined;
  readonly #field: string;
  readonly #isOptional: boolean;
  readonly #text: MessageText | undefined;
  readonly #sql: MessageSql | undefined;

  /** `field` is its name in the file. Messages that lack an optional value are not rejected. */
  constructor(
    config: MessageValueConfig,
    { field, context, optional = false }: { field: string; context: Context; optional?: boolean },
  ) {
    this.#field = field;
    this.#isOptional = optional;
    if (typeof config === 'string') this.#text = new MessageText(config);
    else if (config.type === 'expr') this.#sql = new MessageSql(config.expr, field, context);
    this.constant =
      typeof config === 'object' && config.type === 'value' ? config.value : this.#text?.constant;
  }

  /** Call it in the component's `prepare`. @throws MillraceError, fatal, about an expression that is not SQL */
  async prepare(): Promise<void> {
    await this.#sql?.prepare();
  }

  /** Rejects messages whose value cannot be computed, or that lack one that is not optional. */
  async of(batch: Batch, reject: Reject, signal: AbortSignal): Promise<MessageColumn> {
    if (this.constant !== undefined) return this.constant;
    const failed = new Set<number>();
    const values =
      this.#text?.texts(batch) ??
      (await this.#sql!.of(
        batch,
        (rejection) => {
          failed.add(rejection.index);
          reject(rejection);
        },
        signal,
      ));
    if (typeof values === 'string' || this.#isOptional) return values;
    for (let index = 0; index < values.length; index++) {
      if (values[index] !== undefined || failed.has(index)) continue;
      const message = `it has no value for \`${this.#field}\``;
      reject({ index, error: new MillraceError(messageValueErrors.MILLRACE_OUTPUT_NO_VALUE, message) });
    }
    return values;
  }

  async close(): Promise<void> {
    await this.#sql?.close();
  }
}
