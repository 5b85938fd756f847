import { z } from 'zod';
import { MessageTemplate, type MessageValues } from '../component/message-template.ts';
import { checkTemplate, type TemplateNames } from '../component/template.ts';
import { ExactNumber } from '../message/decimal.ts';
import { compileContains } from '../message/json-contains.ts';

/** A message to send: its payload, and whether it is sent as a binary frame. */
export interface Outgoing {
  readonly payload: string | Buffer;
  readonly binary: boolean;
}

/** A message in a configuration: text; `{ base64: … }`, which is binary; or any other JSON value, sent as JSON. */
export type OutgoingConfig = unknown;

/** A field that holds a message to send; strings anywhere in it are templates over `names`. */
export function outgoing(names: TemplateNames): z.ZodType {
  return z
    .unknown()
    .superRefine((value, context) => {
      if (value === undefined || value === null) {
        context.addIssue({
          code: 'custom',
          message: 'no message; expected text, { base64: … } or a JSON value',
        });
        return;
      }
      const base64 = base64Of(value);
      if (
        base64 !== undefined &&
        !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64)
      ) {
        context.addIssue({ code: 'custom', path: ['base64'], message: 'not base64 (RFC 4648 section 4)' });
        return;
      }
      if (typeof value !== 'string') {
        checkJson(value, [], context);
        walkStrings(value, [], (text, path) => checkTemplate(text, names, context, path));
        return;
      }
      try {
        MessageTemplate.compile(value, names);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
      }
    })
    .meta({ exact: true });
}

/** Reports values that a file can hold and JSON cannot. */
function checkJson(node: unknown, path: (string | number)[], context: z.RefinementCtx): void {
  const fail = (message: string): void => context.addIssue({ code: 'custom', path, message });
  if (typeof node === 'number' && !Number.isFinite(node)) return fail('not a number that JSON can hold');
  if (typeof node !== 'object' || node === null || node instanceof ExactNumber) return;
  if (node instanceof Date) return fail('not JSON; expected a time in quotes');
  const isList = Array.isArray(node);
  for (const [key, each] of Object.entries(node))
    checkJson(each, [...path, isList ? Number(key) : key], context);
}

/** Makes a function that returns the message with its templates filled in. It throws if a template has no value. */
export function compileOutgoing(
  value: OutgoingConfig,
  names: TemplateNames,
): (values: MessageValues) => Outgoing {
  const base64 = base64Of(value);
  if (base64 !== undefined) {
    const payload = Buffer.from(base64, 'base64');
    return () => ({ payload, binary: true });
  }
  const message = MessageTemplate.compile(value, names);
  return (values) => ({ payload: message.render(values), binary: false });
}

/**
 * A pattern for messages: text that a message contains; `{ regex: … }`; or any other JSON value that it contains. A
 * pattern is not a template: one that looks like a template over `names` is a mistake.
 */
export function matcher(names: TemplateNames): z.ZodType {
  return z
    .unknown()
    .superRefine((value, context) => {
      if (value === undefined || value === null || value === '') {
        context.addIssue({
          code: 'custom',
          message: 'nothing to match; expected a part of the text, { regex: … } or a part of the JSON',
        });
        return;
      }
      checkJson(value, [], context);
      walkStrings(value, [], (text, path) => {
        const [, name] = /\{\{\s*([a-z_]+(?::(?!-))?)/.exec(text) ?? [];
        if (name === undefined || !Object.hasOwn(names, name)) return;
        const message = 'a pattern is not filled in; {{…}} is only for messages to send';
        context.addIssue({ code: 'custom', path, message });
      });
      const regex = regexOf(value);
      if (regex === undefined) return;
      try {
        void new RegExp(regex, 'u');
      } catch (error) {
        context.addIssue({
          code: 'custom',
          path: ['regex'],
          message: `not a regular expression: ${(error as Error).message}`,
        });
      }
    })
    .meta({ exact: true });
}

/** Whether a message matches. Never throws. */
export type Match = (payload: Buffer, binary: boolean) => boolean;

/** In bytes. A longer message matches nothing: control messages are short, and data need not be searched. */
const LONGEST_MATCH = 64 * 1024;

export function compileMatcher(value: unknown): Match {
  const test = compileTest(value);
  return (payload, binary) => !binary && payload.length <= LONGEST_MATCH && test(payload);
}

function compileTest(value: unknown): (payload: Buffer) => boolean {
  if (typeof value === 'string') {
    const part = Buffer.from(value);
    return (payload) => payload.includes(part);
  }
  const regex = regexOf(value);
  if (regex !== undefined) {
    const expression = new RegExp(regex, 'u');
    return (payload) => expression.test(payload.toString());
  }
  const contains = compileContains(value);
  const needle = longestLiteral(value);
  const literal = needle === undefined ? undefined : Buffer.from(needle);
  return (payload) => {
    // Most messages are data: the literal rules them out without a parse, unless it could be there in escapes.
    if (literal !== undefined && !payload.includes(literal) && !payload.includes(BACKSLASH)) return false;
    return contains(payload);
  };
}

const BACKSLASH = 0x5c;

/** The longest name or string of a pattern that JSON writes without escapes. */
function longestLiteral(value: unknown): string | undefined {
  const found: string[] = [];
  const visit = (node: unknown): void => {
    if (typeof node === 'string') found.push(node);
    if (typeof node !== 'object' || node === null) return;
    if (!Array.isArray(node)) found.push(...Object.keys(node));
    for (const each of Object.values(node)) visit(each);
  };
  visit(value);
  const plain = found.filter((text) => text !== '' && JSON.stringify(text) === `"${text}"`);
  return plain.toSorted((a, b) => b.length - a.length)[0];
}

/** The base64 of a binary message. */
export function base64Of(value: unknown): string | undefined {
  return onlyField(value, 'base64');
}

function regexOf(value: unknown): string | undefined {
  return onlyField(value, 'regex');
}

/** The text of an object's field `name`, if that is its only field. */
function onlyField(value: unknown, name: string): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const keys = Object.keys(value);
  const text = (value as Record<string, unknown>)[name];
  return keys.length === 1 && typeof text === 'string' ? text : undefined;
}

/** Visits every string in a value, with its path. */
export function walkStrings(
  node: unknown,
  path: (string | number)[],
  visit: (text: string, path: (string | number)[]) => void,
): void {
  if (typeof node === 'string') visit(node, path);
  if (typeof node !== 'object' || node === null) return;
  const isList = Array.isArray(node);
  for (const [key, each] of Object.entries(node))
    walkStrings(each, [...path, isList ? Number(key) : key], visit);
}
