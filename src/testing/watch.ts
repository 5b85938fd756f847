import type { AnyDefinition } from '../component/define.ts';
import type { Keep } from '../component/contracts.ts';
import type { Rejection } from '../errors.ts';
import type { LogEntries, Receipt } from '../message/receipt.ts';

type Method = (...args: unknown[]) => unknown;

/** Stands around calls of a component's methods: `call` makes the call. */
export type Around = (method: string, args: readonly unknown[], call: () => unknown) => unknown;

/** The observers of a component under test. */
export interface Watch {
  /** Called with each instance. */
  readonly made: (instance: object) => void;
  /** Called for each call that the engine makes. */
  readonly around: Around;
  /** Called when a receipt that it has taken with `keep` is settled again. */
  readonly settledTwice: () => void;
}

/** The definition, watched. */
export function watched(definition: AnyDefinition, watch: Watch): AnyDefinition {
  return {
    ...definition,
    create(config, context) {
      const instance = definition.create(config, context) as object;
      watch.made(instance);
      return proxied(instance, watch);
    },
  };
}

function proxied(instance: object, { around, settledTwice }: Watch): object {
  return new Proxy(instance, {
    get(target, name) {
      // With the target as `this`, so that it reaches its private fields.
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function' || typeof name !== 'string') return value;
      return (...args: unknown[]) => {
        const given = args.map((arg) => (keeps(arg) ? counting(arg, settledTwice) : arg));
        return around(name, given, () => (value as Method).apply(target, given));
      };
    },
  });
}

interface Keeping {
  readonly keep: Keep;
}

/** Whether it is the second argument of `process` or `write`. */
function keeps(arg: unknown): arg is Keeping {
  return typeof arg === 'object' && arg !== null && 'keep' in arg && typeof arg.keep === 'function';
}

function counting<C extends Keeping>(call: C, settledTwice: () => void): C {
  return { ...call, keep: () => new CountedReceipt(call.keep(), settledTwice) };
}

/** A receipt that tells when it is settled a second time: the engine itself lets that pass. */
class CountedReceipt implements Receipt {
  readonly #receipt: Receipt;
  readonly #again: () => void;
  #isSettled = false;

  constructor(receipt: Receipt, again: () => void) {
    this.#receipt = receipt;
    this.#again = again;
  }

  get entries(): LogEntries | undefined {
    return this.#receipt.entries;
  }

  get revoked(): boolean {
    return this.#receipt.revoked === true;
  }

  done(rejected?: readonly Rejection[]): void {
    this.#count();
    this.#receipt.done(rejected);
  }

  failed(error: unknown): void {
    this.#count();
    this.#receipt.failed(error);
  }

  fork(): Receipt {
    return new CountedReceipt(this.#receipt.fork(), this.#again);
  }

  park(): void {
    this.#receipt.park();
  }

  #count(): void {
    if (this.#isSettled) this.#again();
    this.#isSettled = true;
  }
}
