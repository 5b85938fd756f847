import type { Fault } from '../fault.ts';
import { clockJumps } from './clock.ts';
import { crashLoop, killedAgain } from './crash-loop.ts';
import { descriptorsGone } from './descriptors.ts';
import { connectionsReset, redelivered, sendersLeave } from './connections.ts';
import { engineKilled, startKilled, windowKilled } from './engine-killed.ts';
import { logDamaged } from './damaged-log.ts';
import { killedAtFsync } from './fsync.ts';
import { diskFull, diskRefuses, syncFails, writeFails } from './io-errors.ts';
import { powerLost } from './power-loss.ts';
import { fileFails, sinkFails, sinkKilled, sinkStopped, sinkStoppedAndEngineKilled } from './sink-outages.ts';
import { terminated } from './terminated.ts';
import { visitorsComeAndGo } from './visitors.ts';

/**
 * Faults by the part that they harm, in the order of the table. Each group has a file of tests, so that they run side
 * by side.
 */
export const faultGroups = {
  engine: [
    engineKilled,
    startKilled,
    killedAtFsync,
    powerLost,
    windowKilled,
    crashLoop,
    killedAgain,
    terminated,
  ],
  storage: [syncFails, writeFails, diskRefuses, diskFull, descriptorsGone, logDamaged],
  sink: [sinkStopped, sinkStoppedAndEngineKilled, visitorsComeAndGo, sinkKilled, sinkFails, fileFails],
  senders: [sendersLeave, redelivered, connectionsReset, clockJumps],
} as const satisfies Readonly<Record<string, readonly Fault[]>>;

export type FaultGroup = keyof typeof faultGroups;

/** Every fault, in the order of the table. */
export const faults: readonly Fault[] = Object.values(faultGroups).flat();
