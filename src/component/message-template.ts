import { ExactNumber } from '../message/decimal.ts';
import { isJson } from '../message/text.ts';
import { Template, type Reference, type TemplateNames, type TemplateValues } from './template.ts';

/**
 * The form in which a value is wanted: `text`, inside text or a JSON string; `value`, one JSON value of the type that
 * it has; `bare`, the same where the author left the quotes out, so that text may be meant as JSON.
 */
export type Form = 'text' | 'value' | 'bare';

/** The value of a name in a message, in the form that its place asks for, or undefined when it has none now. */
export type MessageValues = (name: string, argument: string | undefined, form: Form) => string | undefined;

/** Names whose values are numbers. */
const NUMBERS: ReadonlySet<string> = new Set(['now_ms', 'now_s', 'sequence']);

/** Names whose values have a JSON type of their own. */
const TYPED: ReadonlySet<string> = new Set([...NUMBERS, 'id', 'json']);

/** Names whose values do not come from a peer: the operator wants them sent as they are. */
const OWN: ReadonlySet<string> = new Set(['env', 'file', 'token']);

/** Makes text values available as JSON as well, numbers among them as numbers. */
export function messageValues(values: TemplateValues): MessageValues {
  return (name, argument, form) => {
    const text = values(name, argument);
    if (text === undefined || form === 'text' || NUMBERS.has(name)) return text;
    const isMeant = form === 'bare' && (OWN.has(name) ? isJson(text) : name === 'cursor' && isNumber(text));
    return isMeant ? text : JSON.stringify(text);
  };
}

interface Place {
  readonly name: string;
  readonly argument: string | undefined;
  readonly form: Form;
  /** The default as it stands there. */
  readonly fallback: string | undefined;
  readonly encode: (value: string) => string;
}

/**
 * A message with `{{…}}`. A message that is JSON stays JSON, whatever is filled in: a value inside quotes is escaped,
 * and one outside them is a JSON value of its own, as is one that is a whole string of a message given as an object.
 * In any other text, a value stays on its line.
 */
export class MessageTemplate {
  readonly uses: ReadonlySet<string>;
  /** The names in places that can only take text or one value. */
  readonly quoted: ReadonlySet<string>;
  readonly #parts: readonly (string | Place)[];

  private constructor(parts: readonly (string | Place)[]) {
    this.#parts = parts;
    const places = parts.filter((part) => typeof part !== 'string');
    this.uses = new Set(places.map(({ name }) => name));
    this.quoted = new Set(
      places
        .filter(({ encode, form }) => form === 'value' || encode === insideQuotes)
        .map(({ name }) => name),
    );
  }

  /** `config` is a text, or any other JSON value. @throws Error that says what is wrong with a text in it */
  static compile(config: unknown, names: TemplateNames): MessageTemplate {
    return new MessageTemplate(
      typeof config === 'string' ? partsOfText(config, names) : partsOfValue(config, names),
    );
  }

  /** @throws Error when a name has neither a value nor a default */
  render(values: MessageValues): string {
    return this.#fill(values, ({ name, argument }) => {
      throw Template.missing(name, argument);
    })!;
  }

  /** As `render`, but undefined when a name has neither a value nor a default. */
  tryRender(values: MessageValues): string | undefined {
    return this.#fill(values, () => {});
  }

  #fill(values: MessageValues, missing: (place: Place) => void): string | undefined {
    let text = '';
    for (const part of this.#parts) {
      if (typeof part === 'string') {
        text += part;
        continue;
      }
      const value = values(part.name, part.argument, part.form);
      if (value === undefined && part.fallback === undefined) {
        missing(part);
        return undefined;
      }
      text += value === undefined ? part.fallback : part.encode(value);
    }
    return text;
  }
}

/** The parts of a value that is not text: its strings are templates, and names of fields stay as they are. */
function partsOfValue(node: unknown, names: TemplateNames): (string | Place)[] {
  if (typeof node === 'string') return partsOfString(node, names);
  if (node instanceof ExactNumber) return [String(node)];
  if (typeof node !== 'object' || node === null) return [JSON.stringify(node)];
  const isList = Array.isArray(node);
  const parts: (string | Place)[] = [isList ? '[' : '{'];
  for (const [index, [name, each]] of Object.entries(node).entries()) {
    if (index > 0) parts.push(',');
    if (!isList) parts.push(`${JSON.stringify(name)}:`);
    parts.push(...partsOfValue(each, names));
  }
  return joined([...parts, isList ? ']' : '}']);
}

function partsOfString(text: string, names: TemplateNames): (string | Place)[] {
  const { parts } = Template.parse(text, names);
  const [first] = parts;
  if (parts.length === 1 && typeof first === 'object') return [placeOf(first, 'value')];
  return [
    '"',
    ...parts.map((part) =>
      typeof part === 'string' ? insideQuotes(part) : placeOf(part, 'text', insideQuotes),
    ),
    '"',
  ];
}

function partsOfText(text: string, names: TemplateNames): (string | Place)[] {
  const { parts } = Template.parse(text, names);
  // The probe stands for a value in any place of JSON.
  const probe = parts.map((part) => (typeof part === 'string' ? part : '0')).join('');
  const json = startOfJson(probe);
  if (json === undefined && parts.some((part) => typeof part === 'object') && /^\s*\{/.test(probe)) {
    throw new Error(
      'it begins as JSON but is not JSON, so a filled-in value could change its meaning; expected JSON, each {{…}} in quotes or as a value of its own',
    );
  }
  let at = 0;
  let quoted = false;
  return parts.map((part) => {
    const start = at;
    at += typeof part === 'string' ? part.length : 1;
    if (json === undefined || start < json) {
      if (typeof part === 'string') {
        quoted = json !== undefined && quotedAfter(part.slice(json - start), quoted);
        return part;
      }
      return placeOf(part, 'text', OWN.has(part.name) ? asItIs : onOneLine);
    }
    if (typeof part === 'string') {
      quoted = quotedAfter(part, quoted);
      return part;
    }
    if (quoted) return placeOf(part, 'text', insideQuotes);
    if (/[\w.+-]/.test(probe[start - 1] ?? '') || /[\w.+-]/.test(probe[at] ?? '')) {
      throw new Error(
        'a {{…}} beside other characters in JSON; expected it in quotes, or as a value of its own',
      );
    }
    return placeOf(part, 'bare');
  });
}

/** A prefix that may stand before a list: the digits of Socket.IO and Engine.IO, with a namespace. */
const PACKET_TYPE = /^\s*(?:\d+(?:\/[^,]*,)?\d*)?$/;

/** Where the JSON begins that the text is or ends with; undefined if there is none. */
function startOfJson(text: string): number | undefined {
  // STOMP ends a frame with NUL.
  const whole = text.replace(/[\s\0]+$/, '');
  const list = whole.indexOf('[');
  const starts = [
    ...(/^\s*"/.test(whole) ? [whole.indexOf('"')] : []),
    ...(list >= 0 && PACKET_TYPE.test(whole.slice(0, list)) ? [list] : []),
    ...(whole.includes('{') ? [whole.indexOf('{')] : []),
  ];
  return starts.find((start) => isJson(whole.slice(start)));
}

/** Whether a piece of JSON ends inside a string; `quoted` says whether it begins in one. */
function quotedAfter(piece: string, quoted: boolean): boolean {
  let inside = quoted;
  for (let at = 0; at < piece.length; at++) {
    if (piece[at] === '"') inside = !inside;
    else if (piece[at] === '\\') at++;
  }
  return inside;
}

function placeOf({ name, argument, fallback }: Reference, form: Form, encode = asItIs): Place {
  let shown = fallback;
  if (fallback !== undefined && form !== 'text') {
    const isMeant = (form === 'bare' || TYPED.has(name)) && isJson(fallback);
    shown = isMeant ? fallback : JSON.stringify(fallback);
  } else if (fallback !== undefined && encode === insideQuotes) shown = insideQuotes(fallback);
  return { name, argument, form, fallback: shown, encode };
}

function asItIs(text: string): string {
  return text;
}

/** The text as it stands inside the quotes of a JSON string. */
function insideQuotes(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** The text without line breaks and other control characters, with which a value could begin a message of its own. */
function onOneLine(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    const escape = insideQuotes(character);
    return escape === character ? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}` : escape;
  });
}

function isNumber(text: string): boolean {
  return /^-?\d/.test(text) && isJson(text);
}

/** Joins neighboring texts. */
function joined(parts: readonly (string | Place)[]): (string | Place)[] {
  const result: (string | Place)[] = [];
  for (const part of parts) {
    const last = result.at(-1);
    if (typeof part === 'string' && typeof last === 'string') result[result.length - 1] = last + part;
    else result.push(part);
  }
  return result;
}
