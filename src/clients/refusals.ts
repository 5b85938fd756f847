import type { Rejection } from '../errors.ts';

const NONE: readonly Rejection[] = [];

/** The messages of one write that can never be written: each once, with the first reason. */
export class Refusals {
  #byIndex: Map<number, Rejection> | undefined;

  readonly add = (rejection: Rejection): void => {
    this.#byIndex ??= new Map();
    if (!this.#byIndex.has(rejection.index)) this.#byIndex.set(rejection.index, rejection);
  };

  has(index: number): boolean {
    return this.#byIndex?.has(index) ?? false;
  }

  get size(): number {
    return this.#byIndex?.size ?? 0;
  }

  get list(): readonly Rejection[] {
    return this.#byIndex === undefined ? NONE : [...this.#byIndex.values()];
  }
}
