import { defineConfig } from 'vitest/config';

const report = process.env['MILLRACE_TEST_REPORT'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/global-setup.ts',
    testTimeout: 90_000,
    hookTimeout: 90_000,
    // Tests start servers, browsers and processes of their own; more at a time than this only makes them wait.
    maxWorkers: 3,
    ...(report !== undefined && { reporters: ['default', ['json', { outputFile: report }]] }),
  },
});
