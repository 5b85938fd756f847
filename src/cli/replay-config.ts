import { fstatSync, statSync, type BigIntStats } from 'node:fs';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { ComponentConfig } from '../component/context.ts';
import type { AnyDefinition } from '../component/define.ts';
import { pathPattern } from '../components/outputs/file/path.ts';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import type { Engine } from '../runtime/engine.ts';
import type { StreamPlan } from '../runtime/plan.ts';
import type { Logger } from '../telemetry/logger.ts';
import { chosenStream } from './chosen-stream.ts';
import { changedOutputs, outputsIn } from './inner-outputs.ts';
import { prepareEngine } from './engine.ts';
import { Progress } from './progress.ts';
import { REPLAY, ReplayInput, SEVERAL } from './replay-input.ts';
import type { Letters } from './replay-letters.ts';
import type { Replayed } from './replay-summary.ts';
import { handleSignals } from './run.ts';
import { type Shell, UsageError } from './shell.ts';
import { codecOf } from './stream-codec.ts';

/** Sends dead letters through a stream of a file: its pipeline, output and error_output, in this process. */
export async function configReplay(
  shell: Shell,
  config: string,
  options: { file: string | undefined; stream: string | undefined },
) {
  const loaded = await loadConfig(config, { registry: await shell.registry(), env: shell.env });
  const { streams, logging } = loaded.plan;
  const index = chosenStream(streams, options.stream, config);
  const stream = streams[index]!;
  refuseItself(stream, options.file, shell);

  return async (letters: Letters): Promise<Replayed> => {
    const input = new ReplayInput(letters);
    const engine = await prepareEngine(
      replaced(loaded, index, input.definition),
      // Log to stderr, and not to the file that a running engine may be writing.
      shell.logger({ level: 'warn', format: logging.format }),
      shell.env,
    );
    const { stdout, stderr } = shell.stdio;
    const progress = new Progress(
      stderr,
      stderr.isTTY === true && stdout.isTTY !== true,
      () => `${input.confirmed} of ${letters.total} replayed`,
    );
    const failure = await run(
      engine,
      input,
      letters,
      shell.logger({ level: 'info', format: logging.format }),
    );
    progress.stop();
    const again = await rejected(engine);
    const kept = stream.error_output !== undefined;
    const notes =
      again === 0
        ? []
        : [
            `${again} of them rejected again, ${kept ? 'now in error_output' : 'and logged, because there is no error_output'}`,
          ];
    return {
      confirmed: input.confirmed,
      safe: input.safe,
      failure:
        failure ??
        (again > 0 && !kept
          ? 'messages were rejected, and there is no error_output to keep them'
          : undefined),
      notes,
    };
  };
}

/** @returns the message for the user when not everything was confirmed */
async function run(
  engine: Engine,
  input: ReplayInput,
  letters: Letters,
  logger: Logger,
): Promise<string | undefined> {
  const signals = handleSignals(engine, logger);
  try {
    const { failed } = await Promise.race([engine.run(), signals.lost]);
    const { failure, interrupted, total } = letters;
    if (failure !== undefined) return `${failure.code}: ${failure.message}`;
    // The log has the reason.
    if (failed.length > 0) return 'the stream has failed';
    return interrupted || input.confirmed < total ? 'interrupted' : undefined;
  } finally {
    signals.ignore();
  }
}

/** How many messages the engine has rejected. */
async function rejected(engine: Engine): Promise<number> {
  const { values } = await engine.metrics.deadLetters.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

const UNKNOWN = 'a dead letter does not say which input it came from';

/** The file with this stream alone, which reads the letters. */
function replaced(loaded: LoadedConfig, index: number, input: AnyDefinition): LoadedConfig {
  const { plan } = loaded;
  const stream = plan.streams[index]!;
  return {
    plan: {
      ...plan,
      // The engine that runs the file has the port, and the log.
      health_check: { ...plan.health_check, enabled: false },
      streams: [
        {
          ...stream,
          // Dead letters come from before and after the codec, and a log's messages do too: the input takes both.
          input: {
            type: REPLAY,
            codec: codecOf(stream.input, UNKNOWN),
            framing: framingOf(stream.input),
          },
          output: kept(stream.output),
          error_output: stream.error_output && kept(stream.error_output),
          durability: undefined,
        },
      ],
    },
    registry: loaded.registry.with([input]),
    notices: loaded.notices,
    mistakes: (findings) =>
      loaded.mistakes(
        findings.map(({ path: [streams, , ...rest], message }) => ({
          path: [streams!, index, ...rest],
          message,
        })),
      ),
  };
}

/** For letters of parts that were not framed. */
function framingOf(input: ComponentConfig): unknown {
  const inputs = input['inputs'] as readonly ComponentConfig[] | undefined;
  if (inputs === undefined) return input['framing'];
  const [first, ...others] = inputs.map(framingOf);
  return others.every((other) => isDeepStrictEqual(first, other)) ? first : SEVERAL;
}

/** Files that the stream's start would empty keep their content. */
function kept(output: ComponentConfig): ComponentConfig {
  return changedOutputs(output, (each) => (each.type === 'file' ? { ...each, append: true } : each));
}

/** @throws UsageError when the stream would write into what it reads */
function refuseItself(stream: StreamPlan, file: string | undefined, shell: Shell): void {
  for (const { field, output } of (['error_output', 'output'] as const).flatMap((name) => {
    const config = stream[name];
    return config === undefined ? [] : outputsIn(config, name);
  })) {
    if (output.type !== 'file') continue;
    const path = String(output['path']);
    const same =
      file === undefined
        ? sameFile(statOf(path), statOf(shell.stdio.stdin.fd))
        : pathPattern(path).test(resolve(file)) || sameFile(statOf(path), statOf(file));
    if (!same) continue;
    throw new UsageError(
      `${path} is the ${field} of stream ${stream.id}, so the stream would write to the file that it reads; copy the file and replay the copy`,
    );
  }
}

/** The file system's facts about a path or an open file; undefined if there is none. */
function statOf(file: string | number | undefined): BigIntStats | undefined {
  if (file === undefined) return undefined;
  try {
    return typeof file === 'number' ? fstatSync(file, { bigint: true }) : statSync(file, { bigint: true });
  } catch {
    return undefined;
  }
}

function sameFile(a: BigIntStats | undefined, b: BigIntStats | undefined): boolean {
  return a !== undefined && b !== undefined && a.isFile() && a.dev === b.dev && a.ino === b.ino;
}
