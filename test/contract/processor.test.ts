import { runContract } from './run.ts';

runContract('processor');
