import { z } from 'zod';

/** The value of a name in a template, or undefined when there is none now. */
export type TemplateValues = (name: string, argument: string | undefined) => string | undefined;

/** The names that a template may use, each with its meaning; a name that ends in `:` takes an argument. */
export type TemplateNames = Readonly<Record<string, string>>;

/** A `{{name}}`, `{{name:argument}}` or `{{name:-fallback}}`. */
export interface Reference {
  readonly name: string;
  readonly argument: string | undefined;
  readonly fallback: string | undefined;
}

type Part = string | Reference;

/**
 * A text with `{{name}}`, `{{name:argument}}` and `{{name:-default}}`, filled in at run time. `{{{{` is a literal
 * `{{`. A filled-in value is never read as a template again.
 */
export class Template {
  readonly parts: readonly Part[];

  private constructor(parts: readonly Part[]) {
    this.parts = parts;
  }

  /** @throws Error that says what is wrong with the text */
  static parse(text: string, names: TemplateNames): Template {
    const parts: Part[] = [];
    let at = 0;
    while (at < text.length) {
      const open = text.indexOf('{{', at);
      if (open < 0) break;
      if (open > at) parts.push(text.slice(at, open));
      if (text.startsWith('{{{{', open)) {
        parts.push('{{');
        at = open + 4;
        continue;
      }
      const close = text.indexOf('}}', open);
      if (close < 0) throw new Error('a {{ that is not closed; expected }}, or {{{{ for a literal {{');
      parts.push(readReference(text.slice(open + 2, close).trim(), names));
      at = close + 2;
    }
    if (at < text.length) parts.push(text.slice(at));
    return new Template(parts);
  }

  /** True when it has no names: it always renders the same text. */
  get constant(): boolean {
    return this.parts.every((part) => typeof part === 'string');
  }

  uses(name: string): boolean {
    return this.parts.some((part) => typeof part !== 'string' && part.name === name);
  }

  /**
   * `encode` is applied to each filled-in value, and not to the text around it.
   * @throws Error when a name has neither a value nor a default
   */
  render(values: TemplateValues, encode: (value: string) => string = asItIs): string {
    return this.#fill(values, encode, ({ name, argument }) => {
      throw Template.missing(name, argument);
    })!;
  }

  /** The error for a name that has neither a value nor a default. */
  static missing(name: string, argument: string | undefined): Error {
    const written = argument === undefined ? name : `${name}:${argument}`;
    return new Error(`{{${written}}} has no value now; give it a default, as {{${written}:-default}}`);
  }

  /** As `render`, but undefined when a name has neither a value nor a default. */
  tryRender(values: TemplateValues): string | undefined {
    return this.#fill(values, asItIs, ignore);
  }

  #fill(
    values: TemplateValues,
    encode: (value: string) => string,
    missing: (reference: Reference) => void,
  ): string | undefined {
    let text = '';
    for (const part of this.parts) {
      if (typeof part === 'string') {
        text += part;
        continue;
      }
      const value = values(part.name, part.argument) ?? part.fallback;
      if (value === undefined) {
        missing(part);
        return undefined;
      }
      text += encode(value);
    }
    return text;
  }
}

function asItIs(value: string): string {
  return value;
}

function ignore(): void {}

function readReference(reference: string, names: TemplateNames): Part {
  const at = reference.indexOf(':-');
  const fallback = at < 0 ? undefined : reference.slice(at + 2);
  const whole = at < 0 ? reference : reference.slice(0, at);
  const colon = whole.indexOf(':');
  const name = colon < 0 ? whole : whole.slice(0, colon);
  const argument = colon < 0 ? undefined : whole.slice(colon + 1);
  const key = argument === undefined ? name : `${name}:`;
  if (Object.hasOwn(names, key) && argument !== '') return { name, argument, fallback };
  const known = Object.keys(names).map((each) => (each.endsWith(':') ? `{{${each}…}}` : `{{${each}}}`));
  // The name is not quoted: it may be a piece of a secret that was not meant to be filled in.
  throw new Error(`a {{…}} of an unknown name; known here: ${known.join(', ')}; {{{{ is a literal {{`);
}

/** A string field that is a template over `names`; it stays a string, for `Template.parse`. */
export function template(names: TemplateNames): z.ZodString {
  return z.string().superRefine((text, context) => checkTemplate(text, names, context));
}

/** Reports what is wrong with a template. */
export function checkTemplate(
  text: string,
  names: TemplateNames,
  context: z.RefinementCtx,
  path: (string | number)[] = [],
): void {
  try {
    Template.parse(text, names);
  } catch (error) {
    context.addIssue({ code: 'custom', path, message: (error as Error).message });
  }
}
