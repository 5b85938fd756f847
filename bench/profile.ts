import { readFile, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join, basename } from 'node:path';
import type { Options } from './options.ts';

const directory = fileURLToPath(new URL('results/profiles/', import.meta.url));

/** Node options that make it write a profile of its main thread when it ends. */
export function profileOptions(options: Options, name: string): string[] {
  if (!options.profile) return [];
  return [
    '--cpu-prof',
    `--cpu-prof-dir=${directory}`,
    `--cpu-prof-name=${name}.cpuprofile`,
    '--cpu-prof-interval=500',
  ];
}

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface ProfileLine {
  readonly share: number;
  readonly name: string;
}

/** The functions that took the most time themselves, as shares of the time that the thread was not idle. */
export async function summarise(name: string, most: number): Promise<ProfileLine[]> {
  const { nodes, samples, timeDeltas } = JSON.parse(
    await readFile(join(directory, `${name}.cpuprofile`), 'utf8'),
  ) as Profile;
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || '(anonymous)'} ${url === '' ? '' : `${basename(url)}:${lineNumber + 1}`}`.trim(),
    ]),
  );
  const times = new Map<string, number>();
  let total = 0;
  for (const [index, id] of samples.entries()) {
    const function_ = names.get(id)!;
    if (function_ === '(idle)') continue;
    const time = timeDeltas[index]!;
    times.set(function_, (times.get(function_) ?? 0) + time);
    total += time;
  }
  return [...times]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([function_, time]) => ({ share: time / total, name: function_ }));
}

export async function profilesTaken(): Promise<string[]> {
  const files = await readdir(directory).catch(() => []);
  return files.filter((file) => file.endsWith('.cpuprofile')).map((file) => basename(file, '.cpuprofile'));
}
