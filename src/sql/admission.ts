import { MillraceError, type Rejection } from '../errors.ts';
import type { Batch, Run } from '../message/batch.ts';
import { FieldScanner, fieldKinds, scanFindings } from '../message/json-fields.ts';
import { MAX_JSON_DEPTH } from '../message/json-validate.ts';
import { renameJsonMember } from '../message/json.ts';
import { hasDeepText } from '../message/text-depth.ts';
import { fold } from './database.ts';
import {
  isNumeric,
  isSpelling,
  type Candidate,
  type FlowSchema,
  type Prefers,
  type Widened,
} from './flow-schema.ts';
import { shorten, takeSpellings } from './spellings.ts';
import { Votes } from './votes.ts';

const TOO_DEEP = `the message is or holds text whose brackets are nested deeper than ${MAX_JSON_DEPTH} levels, and the query reads JSON from text`;

/** Reasons for refusing are remembered for so many kinds of field, to answer the next such message at once. */
const MAX_REMEMBERED = 1000;

/** The senders of so many fields of one batch are told apart where these are in question; more are left as they are. */
const MAX_QUESTIONS = 8;

/**
 * A column is forgotten when no message had it between two looks, and those are this far apart: in batches, and in
 * microseconds of the time at which messages were received.
 */
export const FORGET_AFTER_BATCHES = 100;
export const FORGET_AFTER_MICROS = 10 * 60 * 1_000_000;

/** What a query can take of a batch. */
export interface Admitted {
  /** Places of the messages that were rejected, ascending. */
  readonly refused: readonly number[];
  /** The columns that all others fit. */
  readonly schema: FlowSchema;
  /** Payloads that the database is to read another for: one that spells a name as the columns do. */
  readonly respelled: ReadonlyMap<Uint8Array, Uint8Array>;
}

/** A message with something new. */
interface Suspect {
  readonly index: number;
  readonly candidates: readonly Candidate[];
}

interface Refusal {
  readonly index: number;
  readonly error: MillraceError;
  readonly field?: string;
}

/** The field that a message is refused for. */
interface Culprit {
  readonly name: string;
  readonly reason: string;
}

interface Scan {
  readonly refusals: Refusal[];
  readonly suspects: Suspect[];
}

const NONE: ReadonlyMap<Uint8Array, Uint8Array> = new Map();

/**
 * Decides which messages a query can take, and grows its columns by what they bring. A message that would change how
 * the query reads the others (a string where it computes with numbers) is rejected alone, unless most senders send what
 * it has: then the column changes, and the others are rejected.
 */
export class Admission {
  #schema: FlowSchema;
  readonly #objects: (schema: FlowSchema) => Promise<string | undefined>;
  readonly #widened: (column: Widened) => void;
  readonly #scanner: FieldScanner;
  readonly #refused = new Map<string, string>();
  /** By column, for those whose type or spelling was ever in question. */
  readonly #votes = new Map<string, Votes>();
  #turn: Promise<void> = Promise.resolve();
  #batches = 0;
  /** The last time that columns which nobody sends were looked for. */
  #look: { batch: number; time: number; message: number } | undefined;

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

  /** The columns as they are now. */
  get schema(): FlowSchema {
    return this.#schema;
  }

  /** Rejects the messages that the query cannot take. */
  async check(batch: Batch, reject: (rejection: Rejection) => void): Promise<Admitted> {
    this.#batches++;
    const scan = this.#scan(batch);
    if (scan.suspects.length > 0 || this.#isTimeToLook(batch)) {
      return await this.#inTurn(() => this.#settle(batch, reject));
    }
    return this.#admitted(scan.refusals, NONE, reject);
  }

  #admitted(
    refusals: readonly Refusal[],
    respelled: Admitted['respelled'],
    reject: (rejection: Rejection) => void,
  ): Admitted {
    refusals.forEach(reject);
    return { refused: refusals.map(({ index }) => index), schema: this.#schema, respelled };
  }

  /** `each` is called for each message that is not refused, after it has been scanned. */
  #scan({ payloads, format }: Batch, each?: (index: number) => void): Scan {
    const refusals: Refusal[] = [];
    const suspects: Suspect[] = [];
    const refuse = (index: number, message: string, field?: string): void => {
      refusals.push(refusal(index, message, field));
    };
    const scanner = this.#scanner;
    const { parsesText } = this.#schema;
    if (format !== 'json' && !parsesText) return { refusals, suspects };
    for (let index = 0; index < payloads.length; index++) {
      if (parsesText && hasDeepText(payloads[index]!)) {
        refusals.push({ index, error: new MillraceError('MILLRACE_SQL_TEXT_TOO_DEEP', TOO_DEEP) });
        continue;
      }
      if (format !== 'json') continue;
      const found = scanner.scan(payloads[index]!);
      if (found !== 0) {
        if ((found & scanFindings.DUPLICATE) !== 0) {
          refuse(index, `field ${shorten(scanner.duplicate!)}: the message has it twice`, scanner.duplicate);
          continue;
        }
        if ((found & scanFindings.LONE_SURROGATE) !== 0) {
          refuse(index, 'the message has a \\u escape of half a surrogate pair, which is no text');
          continue;
        }
        const candidates =
          (found & scanFindings.NOT_OBJECT) !== 0 ? this.#bareValue() : candidatesOf(scanner.news);
        if (candidates.length > 0) suspects.push({ index, candidates });
      }
      each?.(index);
    }
    return { refusals, suspects };
  }

  /** A JSON value that is no object is the column `__value__`; its kind is not looked at. */
  #bareValue(): Candidate[] {
    const name = '__value__';
    const known = (this.#scanner.knows(name) & fieldKinds.NESTED) !== 0 || this.#schema.ignores(name);
    return known ? [] : [{ name, kind: fieldKinds.NESTED }];
  }

  /** Batches are checked at the same time, but the columns change by one batch at a time. */
  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  async #settle(batch: Batch, reject: (rejection: Rejection) => void): Promise<Admitted> {
    if (this.#isTimeToLook(batch)) await this.#forget(batch);
    const questions = this.#countVotes(batch);
    const changed = new Set<string>();
    for (;;) {
      const { refusals, suspects } = this.#resolved(batch);
      const before = this.#schema;
      const turned = new Set<string>();
      const refused = await this.#admit(suspects, changed, turned);
      for (const key of turned) changed.add(key);
      // Where a column has lost a type or a spelling, messages that did fit may not any more.
      if (this.#follow(before) || turned.size > 0) continue;
      const respelled = new Map<Uint8Array, Uint8Array>();
      for (const { index, candidates } of suspects) {
        const culprit = refused.get(keyOf(candidates));
        if (culprit === undefined) {
          for (const { name } of candidates) this.#scanner.count(this.#schema.column(name)?.name ?? name);
          const payload = batch.payloads[index]!;
          const read = this.#respelled(payload, candidates);
          if (read !== payload) respelled.set(payload, read);
        } else {
          const { name, reason } = culprit;
          refusals.push(refusal(index, `field ${shorten(name)}: ${reason}`, name));
        }
      }
      for (const key of questions.keys()) {
        const column = this.#schema.column(key);
        if (column !== undefined) this.#scanner.takeCount(column.name);
        else this.#forgetVotes(key);
      }
      refusals.sort((a, b) => a.index - b.index);
      return this.#admitted(refusals, respelled, reject);
    }
  }

  /** The batch scanned, and of fields whose names are the same to SQL the one that is the column. */
  #resolved(batch: Batch): Scan {
    const { refusals, suspects } = this.#scan(batch);
    const resolved: Suspect[] = [];
    for (const { index, candidates } of suspects) {
      const taken = takeSpellings(this.#schema, batch.payloads[index]!, candidates);
      if (typeof taken === 'string') refusals.push(refusal(index, taken));
      else if (taken.length > 0) resolved.push({ index, candidates: taken });
    }
    return { refusals, suspects: resolved };
  }

  #respelled(payload: Uint8Array, candidates: readonly Candidate[]): Uint8Array {
    let read = payload;
    for (const { name } of candidates) {
      const spelling = this.#schema.column(name)?.name ?? name;
      if (spelling !== name) read = renameJsonMember(read, name, spelling);
    }
    return read;
  }

  /** Counts who shows what of the columns that the batch puts in question; gives those, by their folded name. */
  #countVotes(batch: Batch): ReadonlyMap<string, string> {
    const schema = this.#schema;
    const scanner = this.#scanner;
    const shown = new Map<string, Set<string>>();
    const byIndex = new Map<number, readonly Candidate[]>();
    for (const { index, candidates } of this.#scan(batch).suspects) {
      byIndex.set(index, candidates);
      for (const candidate of candidates) {
        const key = fold(candidate.name);
        const choices = shown.get(key) ?? new Set(schema.held(key));
        for (const choice of schema.choices(candidate)) choices.add(choice);
        shown.set(key, choices);
      }
    }
    const questions = new Map<string, string>();
    const counts = new Map<string, number>();
    for (const [key, choices] of shown) {
      const spellings = [...choices].filter(isSpelling).length;
      const inQuestion = spellings > 1 || choices.size - spellings > 1;
      if (!inQuestion || questions.size === MAX_QUESTIONS) continue;
      const name = schema.column(key)?.name ?? key;
      questions.set(key, name);
      counts.set(key, scanner.takeCount(name));
    }
    if (questions.size === 0) return questions;
    const run = runsOf(batch);
    this.#scan(batch, (index) => {
      const { origin, time } = run(index);
      const sender = origin.ext['subject'] ?? origin.ext['session_id'] ?? origin;
      const candidates = byIndex.get(index);
      for (const [key, name] of questions) {
        // A kind that is new takes the place of one that is known: a message has a field once.
        const news = candidates?.filter((candidate) => fold(candidate.name) === key) ?? [];
        const fits = scanner.takeCount(name) > 0;
        const choices =
          news.length > 0 ? news.flatMap((each) => schema.choices(each)) : fits ? schema.held(key) : [];
        for (const choice of choices) this.#votesOn(key, choice).count(sender, choice, 1, time);
        // It has been counted in the two scans before.
        if (fits) counts.set(key, counts.get(key)! - 2);
      }
    });
    const { time } = batch.runs.at(-1)!;
    for (const [key, messages] of counts) {
      if (messages <= 0) continue;
      for (const choice of schema.held(key))
        this.#votesOn(key, choice).count(undefined, choice, messages, time);
    }
    return questions;
  }

  #votesOn(key: string, choice: string): Votes {
    const question = `${isSpelling(choice) ? 'spelling' : 'type'} ${key}`;
    let votes = this.#votes.get(question);
    if (votes === undefined) this.#votes.set(question, (votes = new Votes()));
    return votes;
  }

  #forgetVotes(key: string): void {
    for (const question of ['type', 'spelling']) this.#votes.delete(`${question} ${key}`);
  }

  /**
   * Grows the columns. What most senders want otherwise changes, unless it has `changed` before, and is in `turned` then.
   * @returns who is to blame, and why, by messages that are refused
   */
  async #admit(
    suspects: readonly Suspect[],
    changed: ReadonlySet<string>,
    turned: Set<string>,
  ): Promise<ReadonlyMap<string, Culprit>> {
    const refused = new Map<string, Culprit>();
    const groups = new Map<string, readonly Candidate[]>();
    for (const { candidates } of suspects) {
      const key = keyOf(candidates);
      if (groups.has(key) || refused.has(key)) continue;
      const known = candidates.find((candidate) => this.#refused.has(keyOf([candidate])));
      if (known === undefined) groups.set(key, candidates);
      else refused.set(key, { name: known.name, reason: this.#refused.get(keyOf([known]))! });
    }
    const prefers: Prefers = (key, one, other) => {
      const preferred = !changed.has(key) && this.#votesOn(key, one).prefer(one, other);
      if (preferred) turned.add(key);
      return preferred;
    };
    this.#schema = await this.#grow(this.#schema, [...groups.values()], prefers, refused);
    return refused;
  }

  /** The schema with the groups, as if they had come one by one, but for those that `refused` gets. */
  async #grow(
    schema: FlowSchema,
    groups: readonly (readonly Candidate[])[],
    prefers: Prefers,
    refused: Map<string, Culprit>,
  ): Promise<FlowSchema> {
    const objections = new Map<string, Culprit>();
    let grown = schema;
    for (const group of groups) {
      const next = withAll(grown, group, prefers);
      if ('reason' in next) objections.set(keyOf(group), next);
      else grown = next;
    }
    const reason = grown === schema ? undefined : await this.#objects(grown);
    // Where the query does not fit even what is known, what is new cannot be blamed; it may be what is missing.
    if (reason === undefined || (await this.#objects(schema)) !== undefined) {
      for (const [key, objection] of objections) refused.set(key, objection);
      return grown;
    }
    if (groups.length === 1) {
      const culprit = await this.#culprit(schema, groups[0]!, prefers, reason);
      refused.set(keyOf(groups[0]!), culprit);
      return schema;
    }
    const middle = groups.length >> 1;
    const half = await this.#grow(schema, groups.slice(0, middle), prefers, refused);
    return await this.#grow(half, groups.slice(middle), prefers, refused);
  }

  /** The candidate of a group that the query does not fit. */
  async #culprit(
    schema: FlowSchema,
    group: readonly Candidate[],
    prefers: Prefers,
    whole: string,
  ): Promise<Culprit> {
    let reason = whole;
    let fits = 0;
    let fails = group.length;
    while (fails - fits > 1) {
      const middle = (fits + fails) >> 1;
      const grown = withAll(schema, group.slice(0, middle), prefers);
      const objection = 'reason' in grown ? undefined : await this.#objects(grown);
      if (objection === undefined) fits = middle;
      else [fails, reason] = [middle, objection];
    }
    const candidate = group[fails - 1]!;
    if (this.#refused.size < MAX_REMEMBERED) this.#refused.set(keyOf([candidate]), reason);
    return { name: candidate.name, reason };
  }

  /** Has the scanner follow the schema. @returns true when a column has lost a type or a spelling */
  #follow(before: FlowSchema): boolean {
    let lost = false;
    for (const column of this.#schema.columns) {
      const { name, kinds } = column;
      const earlier = before.column(name);
      if (earlier === column) continue;
      if (earlier !== undefined && (earlier.name !== name || (earlier.kinds & ~kinds) !== 0)) {
        lost = true;
        this.#scanner.forget(earlier.name);
        if (isNumeric(earlier) && isNumeric(column))
          this.#votes.get(`type ${fold(name)}`)?.swap('number', 'other number');
      }
      this.#scanner.allow(name, kinds);
    }
    if (lost) this.#refused.clear();
    this.#schema.widenedSince(before).forEach(this.#widened);
    return lost;
  }

  #isTimeToLook({ runs }: Batch): boolean {
    const { time } = runs[0]!;
    this.#look ??= { batch: this.#batches, time, message: 0 };
    return (
      this.#batches - this.#look.batch >= FORGET_AFTER_BATCHES &&
      time - this.#look.time >= FORGET_AFTER_MICROS
    );
  }

  /** Forgets the columns that no message has had since the last look. */
  async #forget({ runs }: Batch): Promise<void> {
    const last = this.#look!.message;
    const scanner = this.#scanner;
    this.#look = { batch: this.#batches, time: runs[0]!.time, message: scanner.messages };
    const before = this.#schema;
    const stale = [...before.columns].filter(({ name }) => scanner.lastWith(name) <= last);
    const left = before.without(stale.map(({ name }) => name));
    if (left === before) return;
    // A query may need a column to be there, whatever it is.
    if ((await this.#objects(left)) !== undefined && (await this.#objects(before)) === undefined) return;
    this.#schema = left;
    for (const { name } of stale) {
      if (left.column(name) !== undefined) continue;
      scanner.forget(name);
      this.#forgetVotes(fold(name));
    }
    this.#refused.clear();
  }
}

/** Gives the run of each message, asked for in their order. */
function runsOf({ runs }: Batch): (index: number) => Run {
  let at = 0;
  return (index) => {
    while (at + 1 < runs.length && runs[at + 1]!.start <= index) at++;
    return runs[at]!;
  };
}

function withAll(schema: FlowSchema, group: readonly Candidate[], prefers: Prefers): FlowSchema | Culprit {
  let grown = schema;
  for (const candidate of group) {
    const next = grown.with(candidate, prefers);
    if (typeof next === 'string') return { name: candidate.name, reason: next };
    grown = next;
  }
  return grown;
}

function candidatesOf(news: ReadonlyMap<string, number>): Candidate[] {
  return Array.from(news, ([name, kind]) => ({ name, kind }));
}

/** The same for the same candidates only. */
function keyOf(candidates: readonly Candidate[]): string {
  return candidates.map(({ name, kind }) => `${kind} ${name.length} ${name}`).join(' ');
}

function refusal(index: number, message: string, field?: string): Refusal {
  const error = new MillraceError('MILLRACE_SQL_FIELD_CONFLICT', message);
  return { index, error, ...(field !== undefined && { field }) };
}
