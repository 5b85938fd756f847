/**
 * The program of `bin/millrace.js`, from source, with two additions for the campaign: an output that its sink confirms,
 * and a processor that dies.
 */
import { components, Registry } from '../src/index.ts';
import { runProcess } from '../src/main.ts';
import { confirmedOutput } from './confirmed-output.ts';
import { crasher } from './crasher.ts';

await runProcess({ registry: new Registry([...components, confirmedOutput, crasher]) });
