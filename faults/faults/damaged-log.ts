import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Arena } from '../arena.ts';
import { damagedCopy, damagesOf, judge, readLog, type Damage, type Reading } from '../damage.ts';
import { EngineProcess } from '../engine.ts';
import type { Fault, Outcome } from '../fault.ts';
import type { FaultContext } from '../fault-options.ts';
import { freePort, mountMemory, temporaryFolder } from '../remains.ts';
import { configYaml } from '../stream-yaml.ts';
import { until } from '../wait.ts';

/** Few bytes, since the log is opened once for each of them. */
const MESSAGES = 12;
/** Bytes, for one copy of the log. */
const MEMORY = 64 * 1024 * 1024;

/** The log of a killed engine, with messages that were acknowledged but not delivered. */
async function leaveLog(context: FaultContext, folder: string): Promise<readonly string[]> {
  const arena = new Arena(context, { output: 'confirmed', absent: true, sessions: 2, rate: 1 });
  try {
    await arena.open();
    const { lane } = arena;
    while (lane.acknowledged < MESSAGES) await arena.flows(1);
    await arena.engine.kill();
    cpSync(lane.logFolder, folder, { recursive: true });
    return lane.check().lost;
  } finally {
    await arena.remove();
  }
}

/** Starts the engine on a damaged log. @returns the messages in its output, or the error that ended it */
async function runEngine(folder: string, log: string, entries: number): Promise<Reading> {
  const out = join(folder, 'out.jsonl');
  const file = join(folder, 'stream.yaml');
  writeFileSync(out, '');
  const output = `type: file, path: "${out}", append: false`;
  writeFileSync(file, configYaml([{ mode: 'stored', port: await freePort(), log, output }]));
  const engine = new EngineProcess(file);
  const lines = (): string[] => readFileSync(out, 'utf8').split('\n').slice(0, -1);
  try {
    if (await engine.listening()) {
      await until('what the log has', () => lines().length >= entries || engine.ending !== undefined, 20_000);
    }
    if (engine.ending === undefined) await engine.terminate();
    const refused = engine.log.find(({ code }) => code?.startsWith('MILLRACE_WAL_'))?.code;
    return {
      refused: engine.ending?.code === 0 ? undefined : (refused ?? engine.lastWords),
      entries: [lines()],
      cutBytes: 0,
    };
  } finally {
    if (engine.ending === undefined) await engine.kill();
  }
}

async function damageLog(context: FaultContext): Promise<readonly Outcome[]> {
  const { effort, random, progress } = context;
  const folder = temporaryFolder();
  let unmount = (): void => {};
  try {
    const original = join(folder.path, 'original');
    // In memory, where thousands of copies take no time.
    const memory = join(folder.path, 'memory');
    mkdirSync(memory);
    unmount = mountMemory(memory, MEMORY);
    const copy = join(memory, 'copy');
    const acknowledged = await leaveLog(context, original);
    cpSync(original, copy, { recursive: true });
    const whole = await readLog(copy);
    const kept = new Set(whole.entries.flat().map(idOf));
    const told = new Set(acknowledged);
    const lost = acknowledged.filter((id) => !kept.has(id));
    const problems: string[] = [];
    let injections = 0;
    const damages = [...damagesOf(original, effort.stride, random.between(0, effort.stride - 1))];
    progress(`${damages.length} damages to a log of ${whole.entries.length} entries`);
    for (const damage of damages) {
      damagedCopy(original, copy, damage);
      const bytes = readFileSync(join(original, damage.file));
      const problem = judge(damage, whole, bytes, await readLog(copy), (line) => told.has(idOf(line)));
      if (problem !== undefined) problems.push(`${nameOf(damage)}: ${problem}`);
      if (++injections % 2000 === 0) progress(`${injections} damages`);
    }
    // For some of them, the whole engine must agree with the log alone.
    for (let round = 1; round <= effort.rounds; round++) {
      const damage = random.pick(damages);
      damagedCopy(original, copy, damage);
      const expected = await readLog(copy);
      damagedCopy(original, copy, damage);
      const found = await runEngine(folder.path, copy, expected.entries.flat().length);
      if (
        found.refused !== expected.refused ||
        String(found.entries.flat()) !== String(expected.entries.flat())
      ) {
        problems.push(`${nameOf(damage)}: the engine gives ${found.refused ?? found.entries.flat().length}`);
      }
      injections++;
    }
    const verdict = {
      acknowledged: acknowledged.length,
      lost,
      duplicated: 0,
      reordered: [],
      damaged: [],
      torn: 0,
    };
    return [{ injections, verdict, problems: problems.slice(0, 20) }];
  } finally {
    unmount();
    folder.remove();
  }
}

function idOf(line: string): string {
  return (JSON.parse(line) as { id: string }).id;
}

function nameOf({ kind, file, offset }: Damage): string {
  return `${kind} at byte ${offset} of ${file}`;
}

export const logDamaged: Fault = {
  name: 'log damaged',
  uses: 'stride',
  what: 'the log of a killed engine, cut off at every byte and with every byte inverted in turn; it must return everything that was committed before the damage or refuse to open, and skip nothing silently; and a start of the engine on such a log, once a round. The log is the same in both modes',
  modes: ['stored'],
  run: damageLog,
};
