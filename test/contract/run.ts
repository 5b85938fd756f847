import { describe, test } from 'vitest';
import type { Kind } from '../../src/component/define.ts';
import { conformance } from '../../src/testing-api.ts';
import { subjects } from './subjects.ts';

/** Runs the kit for every component of a kind. */
export function runContract(kind: Kind): void {
  for (const { definition, of, ...subject } of subjects.filter((each) => each.definition.kind === kind)) {
    describe([definition.type, of].filter(Boolean).join(', '), () => {
      for (const { name, run } of conformance(definition, subject)) test(name, run);
    });
  }
}
