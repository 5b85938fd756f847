import { MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { FieldScanner, fieldKinds, scanFindings } from '../message/json-fields.ts';
import { MAX_JSON_DEPTH } from '../message/json-validate.ts';
import { hasDeepText } from '../message/text-depth.ts';
import type { Candidate, FlowSchema, Widened } from './flow-schema.ts';

const TOO_DEEP = `the message is or holds text whose brackets are nested deeper than ${MAX_JSON_DEPTH} levels, and the query reads JSON from text`;

/** Reasons for refusing are remembered for so many kinds of field, to answer the next such message at once. */
const MAX_REMEMBERED = 1000;

interface Suspect {
  readonly index: number;
  readonly candidates: readonly Candidate[];
}

/**
 * Decides which messages a query can take, and grows its columns by what they bring. A message that would change how
 * the query reads the others (a string where it computes with numbers) is rejected alone.
 */
export class Admission {
  #schema: FlowSchema;
  readonly #objects: (schema: FlowSchema) => Promise<string | undefined>;
  readonly #widened: (column: Widened) => void;
  readonly #scanner: FieldScanner;
  readonly #refused = new Map<string, string>();
  #turn: Promise<void> = Promise.resolve();

  /** `objects` says why the query does not fit a schema, or gives undefined when it does. */
  constructor(
    schema: FlowSchema,
    objects: (schema: FlowSchema) => Promise<string | undefined>,
    widened: (column: Widened) => void,
  ) {
    this.#schema = schema;
    this.#objects = objects;
    this.#widened = widened;
    this.#scanner = new FieldScanner((name) => !schema.ignores(name));
    for (const { name, kinds } of schema.columns) this.#scanner.allow(name, kinds);
  }

  /** The columns that all messages admitted so far fit. */
  get schema(): FlowSchema {
    return this.#schema;
  }

  /** Rejects the messages that the query cannot take. @returns their places, ascending */
  async check({ payloads, format }: Batch, reject: (rejection: Rejection) => void): Promise<number[]> {
    const rejected: number[] = [];
    const suspects: Suspect[] = [];
    const refuse = (index: number, message: string, field?: string): void => {
      rejected.push(index);
      const error = new MillraceError('MILLRACE_SQL_FIELD_CONFLICT', message);
      reject({ index, error, ...(field !== undefined && { field }) });
    };
    const scanner = this.#scanner;
    for (let index = 0; index < payloads.length; index++) {
      if (this.#schema.parsesText && hasDeepText(payloads[index]!)) {
        rejected.push(index);
        reject({ index, error: new MillraceError('MILLRACE_SQL_TEXT_TOO_DEEP', TOO_DEEP) });
        continue;
      }
      if (format !== 'json') continue;
      const found = scanner.scan(payloads[index]!);
      if (found === 0) continue;
      if ((found & scanFindings.DUPLICATE) !== 0) {
        refuse(index, `field ${shorten(scanner.duplicate!)}: the message has it twice`, scanner.duplicate);
      } else if ((found & scanFindings.LONE_SURROGATE) !== 0) {
        refuse(index, 'the message has a \\u escape of half a surrogate pair, which is no text');
      } else {
        const candidates =
          (found & scanFindings.NOT_OBJECT) !== 0 ? this.#bareValue() : candidatesOf(scanner.news);
        if (candidates.length > 0) suspects.push({ index, candidates });
      }
    }
    if (suspects.length === 0) return rejected;
    const refusals = await this.#inTurn(() => this.#admit(suspects.flatMap(({ candidates }) => candidates)));
    for (const { index, candidates } of suspects) {
      const culprit = candidates.find((candidate) => refusals.has(keyOf(candidate)));
      if (culprit === undefined) continue;
      refuse(index, `field ${shorten(culprit.name)}: ${refusals.get(keyOf(culprit))}`, culprit.name);
    }
    return rejected.toSorted((a, b) => a - b);
  }

  /** A JSON value that is no object is the column `__value__`; its kind is not looked at. */
  #bareValue(): Candidate[] {
    const name = '__value__';
    const known = (this.#scanner.knows(name) & fieldKinds.NESTED) !== 0 || this.#schema.ignores(name);
    return known ? [] : [{ name, kind: fieldKinds.NESTED }];
  }

  /** Batches are checked at the same time, but the columns grow by one batch at a time. */
  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  /** Gives the reasons for what is refused. */
  async #admit(candidates: readonly Candidate[]): Promise<ReadonlyMap<string, string>> {
    const refusals = new Map<string, string>();
    const fresh = new Map<string, Candidate>();
    for (const candidate of candidates) {
      const key = keyOf(candidate);
      const reason = this.#refused.get(key);
      if (reason !== undefined) refusals.set(key, reason);
      else if ((this.#scanner.knows(candidate.name) & candidate.kind) === 0) fresh.set(key, candidate);
    }
    const before = this.#schema;
    this.#schema = await this.#grow(before, [...fresh.values()], refusals);
    for (const [key, { name, kind }] of fresh) if (!refusals.has(key)) this.#scanner.allow(name, kind);
    this.#schema.widenedSince(before).forEach(this.#widened);
    return refusals;
  }

  /** The schema with the candidates, as if they had come one by one, but for those that `refusals` gets. */
  async #grow(
    schema: FlowSchema,
    candidates: readonly Candidate[],
    refusals: Map<string, string>,
  ): Promise<FlowSchema> {
    const objections = new Map<string, string>();
    let grown = schema;
    for (const candidate of candidates) {
      const objection = grown.objection(candidate);
      if (objection === undefined) grown = grown.with(candidate);
      else objections.set(keyOf(candidate), objection);
    }
    const reason = grown === schema ? undefined : await this.#objects(grown);
    // Where the query does not fit even what is known, what is new cannot be blamed; it may be what is missing.
    if (reason === undefined || (await this.#objects(schema)) !== undefined) {
      for (const [key, objection] of objections) refusals.set(key, objection);
      return grown;
    }
    if (candidates.length === 1) {
      const key = keyOf(candidates[0]!);
      refusals.set(key, reason);
      if (this.#refused.size < MAX_REMEMBERED) this.#refused.set(key, reason);
      return schema;
    }
    const middle = candidates.length >> 1;
    const half = await this.#grow(schema, candidates.slice(0, middle), refusals);
    return await this.#grow(half, candidates.slice(middle), refusals);
  }
}

function candidatesOf(news: ReadonlyMap<string, number>): Candidate[] {
  return Array.from(news, ([name, kind]) => ({ name, kind }));
}

function keyOf({ name, kind }: Candidate): string {
  return `${kind} ${name}`;
}

/** A field's name on one line, in quotes only where it needs them. */
function shorten(name: string): string {
  const short = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  return /^[\w.…-]+$/.test(short) ? short : JSON.stringify(short);
}
