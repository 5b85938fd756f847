import { MillraceError, type Rejection } from '../errors.ts';
import type { Batch } from '../message/batch.ts';
import { FieldScanner, fieldKinds, scanFindings } from '../message/json-fields.ts';
import type { Candidate, FlowSchema, Form, Widened } from './flow-schema.ts';

/** Reasons for refusing are remembered for so many kinds of field, to answer the next such message at once. */
const MAX_REMEMBERED = 10_000;

interface Suspect {
  readonly index: number;
  readonly candidates: readonly Candidate[];
}

/**
 * Decides which messages a query can take, and grows its columns by what they bring. A message that would change how the
 * query reads the others (a string where it computes with numbers) is rejected alone.
 */
export class Admission {
  readonly #schema: FlowSchema;
  readonly #binds: (form: Form) => Promise<string | undefined>;
  readonly #widened: (column: Widened) => void;
  readonly #scanner: FieldScanner;
  readonly #refused = new Map<string, string>();
  #turn: Promise<void> = Promise.resolve();

  /** `binds` says why the query does not fit the schema as it is now, or undefined when it does. */
  constructor(
    schema: FlowSchema,
    binds: (form: Form) => Promise<string | undefined>,
    widened: (column: Widened) => void,
  ) {
    this.#schema = schema;
    this.#binds = binds;
    this.#widened = widened;
    this.#scanner = new FieldScanner((name) => !schema.ignores(name));
    for (const { name, kinds } of schema.columns()) this.#scanner.allow(name, kinds);
  }

  /** Gives the messages rejected (ascending), and those that are JSON but not an object. */
  async check(
    batch: Batch,
    form: Form,
    reject: (rejection: Rejection) => void,
  ): Promise<{ rejected: ReadonlySet<number>; bare: ReadonlySet<number> }> {
    const rejected = new Set<number>();
    const bare = new Set<number>();
    const suspects: Suspect[] = [];
    const refuse = (index: number, message: string, field?: string): void => {
      rejected.add(index);
      const error = new MillraceError('MILLRACE_SQL_FIELD_CONFLICT', message);
      reject({ index, error, ...(field !== undefined && { field }) });
    };
    const scanner = this.#scanner;
    const { payloads } = batch;
    for (let index = 0; index < payloads.length; index++) {
      const found = scanner.scan(payloads[index]!);
      if (found === 0) continue;
      if ((found & scanFindings.DUPLICATE) !== 0) {
        refuse(index, `field ${scanner.duplicate}: the message has it twice`, scanner.duplicate);
      } else if ((found & scanFindings.LONE_SURROGATE) !== 0) {
        refuse(index, 'the message has a \\u escape of half a surrogate pair, which is no text');
      } else if ((found & scanFindings.NOT_OBJECT) !== 0) {
        bare.add(index);
        const known =
          (scanner.knows('__value__') & fieldKinds.NESTED) !== 0 || this.#schema.ignores('__value__');
        if (!known) suspects.push({ index, candidates: [{ name: '__value__', kind: fieldKinds.NESTED }] });
      } else {
        suspects.push({ index, candidates: Array.from(scanner.news, ([name, kind]) => ({ name, kind })) });
      }
    }
    if (suspects.length > 0) {
      const refusals = await this.#inTurn(() => this.#admit(suspects, form));
      for (const { index, candidates } of suspects) {
        const culprit = candidates.find((candidate) => refusals.has(keyOf(candidate)));
        if (culprit !== undefined) {
          refuse(index, `field ${culprit.name}: ${refusals.get(keyOf(culprit))}`, culprit.name);
        }
      }
    }
    return { rejected, bare };
  }

  /** Batches are checked at the same time, but the columns grow by one batch at a time. */
  async #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    try {
      return await action();
    } finally {
      resolve();
    }
  }

  /** Gives the reasons for what is refused. */
  async #admit(suspects: readonly Suspect[], form: Form): Promise<ReadonlyMap<string, string>> {
    const unique = new Map<string, Candidate>();
    for (const { candidates } of suspects) {
      for (const candidate of candidates) {
        if ((this.#scanner.knows(candidate.name) & candidate.kind) === 0)
          unique.set(keyOf(candidate), candidate);
      }
    }
    const refusals = new Map<string, string>();
    const fresh: Candidate[] = [];
    for (const [key, candidate] of unique) {
      const reason = this.#refused.get(key);
      if (reason === undefined) fresh.push(candidate);
      else refusals.set(key, reason);
    }
    if (fresh.length === 0) return refusals;
    // Where the query does not fit even what is known, what is new cannot be blamed; it may be what is missing.
    const blamed = (await this.#binds(form)) === undefined;
    const undo: (() => void)[] = [];
    const refuse = (candidate: Candidate, reason: string, lasting: boolean): void => {
      refusals.set(keyOf(candidate), reason);
      if (lasting && this.#refused.size < MAX_REMEMBERED) this.#refused.set(keyOf(candidate), reason);
    };
    const admitAll = async (candidates: readonly Candidate[], oneByOne: boolean): Promise<Candidate[]> => {
      const admitted: Candidate[] = [];
      const changes: Widened[] = [];
      for (const candidate of candidates) {
        const objection = this.#schema.objection(candidate);
        if (objection !== undefined) {
          refuse(candidate, objection, false);
          continue;
        }
        const change = this.#schema.admit(candidate);
        const reason = oneByOne ? await this.#binds(form) : undefined;
        if (reason !== undefined) {
          change.undo();
          refuse(candidate, reason, true);
          continue;
        }
        undo.push(change.undo);
        if (change.widened !== undefined) changes.push(change.widened);
        admitted.push(candidate);
      }
      if (!oneByOne && blamed && (await this.#binds(form)) !== undefined) {
        for (const each of undo.toReversed()) each();
        for (const candidate of candidates) refusals.delete(keyOf(candidate));
        return await admitAll(candidates, true);
      }
      changes.forEach(this.#widened);
      return admitted;
    };
    for (const { name, kind } of await admitAll(fresh, false)) this.#scanner.allow(name, kind);
    return refusals;
  }
}

function keyOf({ name, kind }: Candidate): string {
  return `${kind} ${name}`;
}
