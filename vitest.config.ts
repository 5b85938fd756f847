import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { apartFiles } from './test/support/shared-imports.ts';

const report = process.env['MILLRACE_TEST_REPORT'];

/** The longest files, which must not be the last ones to begin. */
const longest = [
  'package/pack',
  'faults/campaign-engine',
  'faults/campaign-storage',
  'faults/campaign-sink',
  'faults/campaign-senders',
  'connectors/kafka',
  'connectors/redis-input',
  'contract/broken',
  'websocket/output-slow',
  'runtime/crash-guard',
  'sql/exactness',
  'sql/size',
  'sql/senders',
  'delivery/log/damage',
  'examples/examples',
  'cli/replay',
];

const path = (name: string): string => `test/${name}.test.ts`;

/**
 * First the files that have imports of their own, then the others in a row: only then does a worker go on to the next.
 * The longest of each come first.
 */
class Order extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = (file: TestSpecification): number => {
      const index = longest.findIndex((name) => file.moduleId.endsWith(path(name)));
      const place = index < 0 ? longest.length : index;
      return file.project.name === 'shared' ? longest.length + 1 + place : place;
    };
    // eslint-disable-next-line unicorn/no-array-sort -- the method of a sequencer
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    globalSetup: 'test/support/global-setup.ts',
    setupFiles: 'test/support/setup.ts',
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // Most of the time a test waits for a server, a browser or a process.
    maxWorkers: Math.min(3 * availableParallelism(), 12),
    sequence: { sequencer: Order },
    projects: [
      {
        extends: true,
        test: {
          name: 'apart',
          include: apartFiles,
        },
      },
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: apartFiles,
          isolate: false,
        },
      },
    ],
    ...(report !== undefined && { reporters: ['default', ['json', { outputFile: report }]] }),
  },
});
