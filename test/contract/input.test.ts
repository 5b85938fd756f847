import { runContract } from './run.ts';

runContract('input');
