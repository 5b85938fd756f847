/** The program as `bin/millrace.js` runs it, from source, with one output more: the one that the campaign's sink confirms. */
import { components, Registry } from '../src/index.ts';
import { runProcess } from '../src/main.ts';
import { confirmedOutput } from './confirmed-output.ts';

await runProcess({ registry: new Registry([...components, confirmedOutput]) });
