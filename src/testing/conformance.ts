import type { AnyDefinition, Kind } from '../component/define.ts';
import type { CaseOf } from './case-of.ts';
import { everyCases } from './cases-every.ts';
import { framingCases } from './cases-framing.ts';
import {
  abortCases,
  abortReadCase,
  abortWriteCase,
  closeCases,
  reconnectCase,
  repeatsCase,
  whileAwayCase,
} from './cases-of-connections.ts';
import {
  batchCase,
  drainOutputCase,
  inputFlowCases,
  receiptsCase,
  refusedCase,
  retryCase,
  throughCase,
} from './cases-of-flow.ts';
import type { Case, LeftOut, Subject } from './subject.ts';

/** Of what neither connects nor reads. */
const closeUnconnected = closeCases.slice(0, 2);

const between = (closing: readonly CaseOf[]): readonly CaseOf[] => [
  ...everyCases,
  ...closing,
  throughCase,
  retryCase,
  refusedCase('other'),
  batchCase,
  receiptsCase,
];

const cases: Readonly<Record<Kind, readonly CaseOf[]>> = {
  input: [
    ...everyCases,
    ...closeCases,
    ...abortCases,
    abortReadCase,
    throughCase,
    retryCase,
    ...inputFlowCases,
    reconnectCase('push'),
    repeatsCase,
  ],
  output: [
    ...everyCases,
    ...closeCases.slice(0, -1),
    ...abortCases,
    abortWriteCase,
    throughCase,
    refusedCase('output'),
    batchCase,
    receiptsCase,
    drainOutputCase,
    reconnectCase('arrived'),
    whileAwayCase,
  ],
  processor: between(closeCases.slice(0, -1)),
  buffer: between(closeCases.slice(0, -1)),
  codec: between(closeUnconnected),
  framing: [...everyCases, ...framingCases],
};

/** The cases that a component must pass, each with a name; and those that need more than was given. */
export class Conformance implements Iterable<Case> {
  readonly cases: readonly Case[];
  readonly leftOut: readonly LeftOut[];

  constructor(definition: AnyDefinition, subject: Subject) {
    const tried = { definition, subject };
    const all = cases[definition.kind].map((each) => ({ ...each, why: each.lacks?.(tried) }));
    this.leftOut = all.flatMap(({ name, why }) => (why === undefined ? [] : [{ name, why }]));
    this.cases = all
      .filter(({ why }) => why === undefined)
      .map(({ name, run }) => ({ name, run: () => run(tried) }));
  }

  [Symbol.iterator](): Iterator<Case> {
    return this.cases[Symbol.iterator]();
  }
}

/**
 * The cases that a component must pass: `for (const { name, run } of conformance(definition, subject)) test(name, run)`,
 * with any test runner. Each case runs the component through an engine and a file of its own, and leaves nothing behind.
 */
export function conformance(definition: AnyDefinition, subject: Subject = {}): Conformance {
  return new Conformance(definition, subject);
}
