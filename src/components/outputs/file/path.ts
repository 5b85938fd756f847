import { resolve } from 'node:path';
import { z } from 'zod';
import { TIME_CONVERSION } from '../../../component/fields.ts';
import { checkMessageText, MessageText } from '../../../component/message-text.ts';
import { errorMessage, MillraceError } from '../../../errors.ts';
import type { Batch, Origin, Run } from '../../../message/batch.ts';
import { FINISHED } from './finished.ts';

/** The most bytes of an encoded value in a path. */
const MAX_VALUE = 128;
/** The most bytes of a name in a path; file systems take 255, and a finished file has a longer name. */
const MAX_NAME = 255 - 32;
const MINUTE = 60_000_000;

const strftime: Readonly<Record<string, string>> = {
  '%Y': '{{year}}',
  '%m': '{{month}}',
  '%d': '{{day}}',
  '%H': '{{hour}}',
  '%M': '{{minute}}',
  '%F': '{{date}}',
};

/** The field `path`; it stays a string, for `FilePath`. */
export const pathField = z
  .string()
  .min(1)
  .superRefine((text, context) => {
    const fail = (message: string): void => context.addIssue({ code: 'custom', message });
    checkMessageText(text, context);
    if (text.includes('\0')) fail('a path cannot hold a NUL character');
    const [conversion] = TIME_CONVERSION.exec(text) ?? [];
    if (conversion !== undefined) {
      fail(`${conversion} is not filled in; write ${strftime[conversion]} instead`);
    }
    if (/\{\{\s*meta:sequence\s*(?::-|\}\})/.test(text)) {
      fail('{{meta:sequence}} would make a file of each message');
    }
  })
  .meta({ shown: true });

/** Whether the path may differ by message. False for a wrong path, which `pathField` reports. */
export function isFilledIn(text: string): boolean {
  try {
    return new FilePath(text).constant === undefined;
  } catch {
    return false;
  }
}

/** A path that may depend on the message. */
export class FilePath {
  /** The path, if it is the same for every message. */
  readonly constant: string | undefined;
  /** The folder above all of the files. */
  readonly folder: string;
  /** The extension of all the files, with its dot; empty if it depends on the message. */
  readonly extension: string;
  readonly #text: MessageText;
  /** The last path of each origin: neighboring messages of a session have the same. */
  readonly #last = new WeakMap<Origin, { minute: number; type: string | undefined; path: string }>();

  constructor(text: string) {
    this.#text = new MessageText(text);
    this.constant = this.#text.constant;
    const [literal = ''] = /^(?:[^{]|\{(?!\{))*/.exec(text) ?? [];
    this.folder = resolve(literal.slice(0, literal.lastIndexOf('/') + 1));
    this.extension = /[^/](\.[A-Za-z0-9]+)$/.exec(text)?.[1] ?? '';
  }

  /** Whether messages of one run may have several paths. */
  isByMessage(batch: Batch): boolean {
    return this.#text.isByMessage(batch);
  }

  /**
   * The path for the message at `index`, which belongs to `run`: the path of the whole run, unless it is by message.
   * @throws MillraceError MILLRACE_OUTPUT_REFUSED when the message lacks a value, or has one that is too long
   */
  of(batch: Batch, index: number, run: Run): string {
    if (this.constant !== undefined) return this.constant;
    if (this.isByMessage(batch)) return this.#render(batch, index, run);
    const { origin, messageType: type } = run;
    const minute = this.#text.byTime ? Math.floor(run.time / MINUTE) : 0;
    const last = this.#last.get(origin);
    if (last !== undefined && last.minute === minute && last.type === type) return last.path;
    const path = this.#render(batch, index, run);
    this.#last.set(origin, { minute, type, path });
    return path;
  }

  #render(batch: Batch, index: number, run: Run): string {
    try {
      const path = this.#text.render(batch, index, run, encodeValue);
      const long = path.split('/').find((name) => Buffer.byteLength(name) > MAX_NAME);
      if (long !== undefined)
        throw new Error(`the name ${long.slice(0, 32)}… would be longer than ${MAX_NAME} bytes`);
      return path;
    } catch (error) {
      throw new MillraceError(
        'MILLRACE_OUTPUT_REFUSED',
        `there is no file for the message: ${errorMessage(error)}`,
      );
    }
  }
}

/**
 * A value as (a part of) one name in a path. It cannot leave its folder, hide the file, or look like an option of a
 * command; two values never become the same; and none contains the mark of finished files.
 * @throws Error when it is too long
 */
function encodeValue(value: string): string {
  const encoded = value.replaceAll(/^[.-]|[^\p{L}\p{M}\p{N}._@+=,-]/gu, (character) =>
    Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(
      '',
    ),
  );
  if (Buffer.byteLength(encoded) <= MAX_VALUE) return encoded;
  throw new Error(`a value of its path is longer than ${MAX_VALUE} bytes: ${encoded.slice(0, 32)}…`);
}

/** Matches the paths of an output, and those of files that it has finished. */
export function pathPattern(text: string): RegExp {
  const whole = resolve(text.replaceAll(/\{\{(?!\{\{).*?\}\}/g, '\0'));
  const { extension } = new FilePath(text);
  const stem = whole.slice(0, whole.length - extension.length);
  const source = (part: string): string =>
    part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('\0', '[^/]+');
  return new RegExp(`^${source(stem)}(?:${FINISHED})?${source(extension)}(?:\\.gz|\\.zst)?$`);
}
