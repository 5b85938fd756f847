import { describe, test as anyTest } from 'vitest';
import type { Kind } from '../../src/component/define.ts';
import { registry } from '../../src/components/index.ts';
import { conformance, type Subject } from '../../src/testing-api.ts';
import { subjects } from './subjects.ts';

/** Runs the kit for every component of a kind that needs no server. */
export function runContract(kind: Kind): void {
  for (const { definition, of, ...subject } of subjects.filter((each) => each.definition.kind === kind)) {
    describe([definition.type, of].filter(Boolean).join(', '), () => {
      for (const { name, run } of conformance(definition, subject)) anyTest(name, run);
    });
  }
}

/** Runs the kit for a connector, in the file of its tests, whose server it shares. `of` says in which way it is used. */
export function runKit(
  kind: Kind,
  type: string,
  { of = '', test = anyTest, ...subject }: Subject & { of?: string; test?: typeof anyTest },
): void {
  describe(`the kit for ${kind} ${type} ${of}`.trim(), () => {
    for (const { name, run } of conformance(registry.get(kind, type), subject)) test(name, run);
  });
}
