import type { Reject, WriteResult } from '../component/contracts.ts';
import { declareErrors, MillraceError, type Rejection } from '../errors.ts';
import { plural } from '../plural.ts';

/** The code of a component that does what its contract forbids. */
export const contractErrors = declareErrors({
  MILLRACE_COMPONENT_WRONG: {
    help: 'A component did something that its contract forbids: it named a message that it was not given, or named one twice, or returned no result. The error says which component; its author must mend it. No message is lost: a batch of a processor or a codec goes to `error_output` as a whole, and an input or an output fails the stream before the batch is confirmed.',
    told: 'the message could not be processed',
  },
});

/** The places by which a component has named messages of a batch. */
class Places {
  readonly #component: string;
  readonly #length: number;
  readonly #named = new Set<number>();

  constructor(component: string, length: number) {
    this.#component = component;
    this.#length = length;
  }

  /** The mistake in naming a message by `index`, or undefined. `act` says how the component named it. */
  mistake(act: string, index: number): string | undefined {
    const said = `${this.#component} ${act} message ${String(index)} of a batch`;
    if (!Number.isInteger(index) || index < 0 || index >= this.#length)
      return `${said} of ${plural(this.#length, 'message')}; expected an index from 0 to ${this.#length - 1}`;
    if (this.#named.has(index)) return `${said} twice; expected each index once`;
    this.#named.add(index);
    return undefined;
  }
}

/**
 * Collects the messages of a batch that a component rejects. `component` says which. The function throws inside the component
 * when there is no such message, or when it was rejected before: then the whole batch is rejected.
 */
export function rejectInto(rejections: Rejection[], component: string, length: number): Reject {
  let places: Places | undefined;
  return (rejection) => {
    // The component may be called with the batch again, and begins anew.
    if (rejections.length === 0) places = undefined;
    places ??= new Places(component, length);
    const mistake = places.mistake('rejected', rejection.index);
    if (mistake !== undefined) throw new MillraceError(contractErrors.MILLRACE_COMPONENT_WRONG, mistake);
    rejections.push(rejection);
  };
}

/**
 * @throws MillraceError, fatal, when a component that reads or writes names a message that is not in the batch, or names one
 * twice: nobody knows what has become of the batch, which therefore stays unconfirmed
 */
export function checkResult(
  { refused = [], retry = [] }: WriteResult,
  component: string,
  length: number,
): void {
  if (refused.length === 0 && retry.length === 0) return;
  const places = new Places(component, length);
  const mistake =
    refused.map(({ index }) => places.mistake('refused', index)).find((each) => each !== undefined) ??
    retry.map((index) => places.mistake('wants to retry', index)).find((each) => each !== undefined);
  if (mistake === undefined) return;
  throw new MillraceError(contractErrors.MILLRACE_COMPONENT_WRONG, mistake, { fatal: true });
}
