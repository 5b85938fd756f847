import { runProcess } from '../../src/main.ts';

// The command line from source, so that no test runs a build that is older than the code.
await runProcess();
