/** The program as `bin/millrace.js` runs it, from source, with what the campaign needs besides: an output that its sink confirms, and a processor that dies. */
import { components, Registry } from '../src/index.ts';
import { runProcess } from '../src/main.ts';
import { confirmedOutput } from './confirmed-output.ts';
import { crasher } from './crasher.ts';

await runProcess({ registry: new Registry([...components, confirmedOutput, crasher]) });
