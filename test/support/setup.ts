import { afterAll, afterEach } from 'vitest';
import { forgetSecrets } from '../../src/telemetry/secrets.ts';
import { endFile, endTest } from './cleanup.ts';

// Vitest runs this before each test file, also where files share their imports. Only here may a module of test/support/
// register hooks: elsewhere they would be those of the first file that imports it.
afterEach(endTest);
afterAll(async () => {
  await endFile();
  forgetSecrets();
});
