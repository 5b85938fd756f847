import { runContract } from './run.ts';

runContract('framing');
