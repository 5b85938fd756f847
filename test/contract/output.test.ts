import { runContract } from './run.ts';

runContract('output');
