import { runContract } from './run.ts';

runContract('codec');
