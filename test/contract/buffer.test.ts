import { runContract } from './run.ts';

runContract('buffer');
