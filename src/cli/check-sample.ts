import { z } from 'zod';
import type { ComponentConfig } from '../component/context.ts';
import type { Output } from '../component/contracts.ts';
import { defineOutput } from '../component/define.ts';
import { type LateFinding, type LoadedConfig, parseConfig } from '../config/load.ts';
import { formatProblem } from '../config/problem.ts';
import type { Batch } from '../message/batch.ts';
import { plural } from '../plural.ts';
import type { StreamPlan } from '../runtime/plan.ts';
import { chosenStream } from './chosen-stream.ts';
import { prepareEngine } from './engine.ts';
import { sampleFile } from './sample-file.ts';
import type { Shell } from './shell.ts';
import { codecOf } from './stream-codec.ts';

/** The part of a rejected message that is shown, in characters. */
const SHOWN = 120;

/**
 * Sends the messages of a file through the codec and the processors of a stream, without its input and outputs, and
 * prints the mistakes that they show.
 */
export async function checkSample(
  shell: Shell,
  config: LoadedConfig,
  { file, sample, stream: id }: { file: string; sample: string; stream: string | undefined },
): Promise<number> {
  const { streams, logging } = config.plan;
  const index = chosenStream(streams, id, file);
  const stream = streams[index]!;
  const rows = new Kept('rows');
  const letters = new Kept('letters');
  const engine = await prepareEngine(
    {
      ...config,
      plan: {
        ...config.plan,
        health_check: { ...config.plan.health_check, enabled: false },
        streams: [
          {
            ...stream,
            input: await inputOf(shell, sample, stream),
            output: { type: rows.definition.type },
            error_output: { type: letters.definition.type },
            durability: undefined,
          },
        ],
      },
      registry: config.registry.with([rows.definition, letters.definition]),
      notices: [],
    },
    shell.logger({ level: 'error', format: logging.format }),
    shell.env,
  );
  const { failed } = await engine.run();
  // The log has the reason.
  if (failed.length > 0) return 1;
  const findings = [...rejections(letters.payloads, stream), ...engine.remarks()].map(
    ({ path: [streamsField, , ...rest], message }): LateFinding => ({
      path: [streamsField!, index, ...rest],
      message,
    }),
  );
  for (const problem of config.mistakes(findings).problems) shell.err(`${formatProblem(problem)}\n`);
  const rejected = letters.count === 0 ? '' : `, and ${plural(letters.count, 'message')} rejected`;
  await shell.out(`${sample}: stream ${stream.id} makes ${plural(rows.count, 'message')} of it${rejected}\n`);
  return findings.length > 0 ? 1 : 0;
}

/** The file as the stream's input, with the codec of its own. */
async function inputOf(shell: Shell, sample: string, stream: StreamPlan): Promise<ComponentConfig> {
  const text = JSON.stringify({ streams: [{ input: sampleFile(sample) }] }).replaceAll('${', () => '$${');
  const plan = parseConfig(text, { registry: await shell.registry(), env: shell.env, format: 'json' });
  const codec = codecOf(stream.input, 'a sample does not say which input it is for');
  return { ...plan.streams[0]!.input, codec };
}

/** A dead letter, as far as it is looked at here. */
interface Letter {
  readonly payload: string;
  readonly error: { readonly stage: string; readonly message: string };
}

/** The rejected messages, those with the same reason together. */
function rejections(payloads: readonly Uint8Array[], stream: StreamPlan): LateFinding[] {
  const groups = new Map<string, { letter: Letter; count: number }>();
  for (const payload of payloads) {
    const letter = JSON.parse(Buffer.from(payload).toString()) as Letter;
    const key = `${letter.error.stage} ${letter.error.message}`;
    const group = groups.get(key) ?? { letter, count: 0 };
    group.count++;
    groups.set(key, group);
  }
  return [...groups.values()].map(({ letter: { payload, error }, count }) => ({
    path: ['streams', 0, ...placeOf(error.stage, stream)],
    message: `rejects ${plural(count, 'message')} of the sample: ${error.message}; ${count === 1 ? 'it is' : 'the first is'} ${payload.slice(0, SHOWN)}${payload.length > SHOWN ? '…' : ''}`,
  }));
}

function placeOf(stage: string, { pipeline: { processors } }: StreamPlan): (string | number)[] {
  if (stage === 'codec') return ['input', 'codec'];
  return processors.length === 1 ? ['pipeline', 'processors', 0] : ['pipeline', 'processors'];
}

/** Counts messages, and keeps the first of them. */
class Kept implements Output {
  /** The most payloads that are kept. */
  static readonly most = 1_000;
  readonly payloads: Uint8Array[] = [];
  readonly definition;
  count = 0;

  constructor(type: string) {
    this.definition = defineOutput({
      type,
      summary: 'Keeps the first messages.',
      status: 'stable',
      schema: z.strictObject({}),
      examples: [],
      create: () => this,
    });
  }

  connect(): Promise<void> {
    return Promise.resolve();
  }

  write({ length, payloads }: Batch): Promise<void> {
    this.count += length;
    this.payloads.push(...payloads.slice(0, Kept.most - this.payloads.length));
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
