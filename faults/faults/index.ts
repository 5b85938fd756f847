import type { Fault } from '../fault.ts';
import { clockJumps } from './clock.ts';
import { connectionsReset, redelivered, sendersLeave } from './connections.ts';
import { engineKilled, startKilled, windowKilled } from './engine-killed.ts';
import { logDamaged } from './damaged-log.ts';
import { killedAtFsync } from './fsync.ts';
import { diskFull, diskRefuses, syncFails, writeFails } from './io-errors.ts';
import { powerLost } from './power-loss.ts';
import { fileFails, sinkFails, sinkKilled, sinkStopped, sinkStoppedAndEngineKilled } from './sink-outages.ts';
import { terminated } from './terminated.ts';

/** Every fault, in the order of the table. */
export const faults: readonly Fault[] = [
  engineKilled,
  startKilled,
  killedAtFsync,
  powerLost,
  windowKilled,
  terminated,
  syncFails,
  writeFails,
  diskRefuses,
  diskFull,
  logDamaged,
  sinkStopped,
  sinkStoppedAndEngineKilled,
  sinkKilled,
  sinkFails,
  fileFails,
  sendersLeave,
  redelivered,
  connectionsReset,
  clockJumps,
];
