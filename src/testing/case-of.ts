import type { Subject } from './subject.ts';
import type { Tried } from './rig.ts';

/** A case of a kind, before it has a component. */
export interface CaseOf {
  readonly name: string;
  /** The part that the subject lacks for it, or undefined. */
  readonly lacks?: (tried: Tried) => string | undefined;
  readonly run: (tried: Tried) => Promise<void>;
}

/** The lack of what a peer can do. */
export const peerCan =
  (...methods: readonly (keyof NonNullable<Subject['peer']>)[]) =>
  ({ subject: { peer } }: Tried): string | undefined => {
    if (peer === undefined) return 'a `peer`';
    const missing = methods.filter((method) => peer[method] === undefined);
    return missing.length === 0
      ? undefined
      : `a peer with ${missing.map((each) => `\`${each}\``).join(' and ')}`;
  };

/** The lack of a field of the subject. */
export const has =
  (field: keyof Subject) =>
  ({ subject }: Tried): string | undefined =>
    subject[field] === undefined ? `\`${field}\`` : undefined;
