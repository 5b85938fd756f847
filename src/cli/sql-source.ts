import { existsSync } from 'node:fs';
import { loadConfig, parseConfig } from '../config/load.ts';
import type { Registry } from '../component/registry.ts';
import type { ComponentConfig } from '../component/context.ts';
import type { EnginePlan, StreamPlan } from '../runtime/plan.ts';
import { clientFieldsOf, clientSettings } from './client-settings.ts';
import { chosenStream } from './chosen-stream.ts';
import { sampleFile } from './sample-file.ts';
import type { ClientOptions } from './client-options.ts';
import { STDIN, StdinInput } from './sql-stdin.ts';
import { type Shell, UsageError } from './shell.ts';

/** The options of `millrace sql`. */
export interface SqlOptions extends ClientOptions {
  readonly window?: string;
  readonly codec: 'json' | 'text' | 'none';
  readonly format?: 'table' | 'ndjson';
  readonly count?: number;
  readonly column?: readonly string[];
  readonly send?: readonly string[];
  readonly stream?: string;
  readonly stage?: string;
}

/** The source of a query: a stream without an output, its components, and whether it goes on. */
export interface Source {
  readonly stream: Omit<StreamPlan, 'output'>;
  readonly plan: EnginePlan;
  readonly registry: Registry;
  /** True for a feed, which ends only when told to. */
  readonly live: boolean;
  /** True if the source has windows of its own, so that its batches are tables. */
  readonly windowed: boolean;
}

/** Names of the stages of a stream, and processors by their number from 0. */
const STAGE = /^(?:input|buffer|output|processors\.\d{1,3})$/;

/** @throws UsageError, ConfigError */
export async function sourceOf(shell: Shell, source: string, options: SqlOptions): Promise<Source> {
  const isConfig = /\.(?:ya?ml|toml)$/i.test(source) || (options.stream ?? options.stage) !== undefined;
  if (isConfig) return await configSource(shell, source, options);
  const isFile = source === '-' || (!source.includes('://') && existsSync(source));
  if (!isFile && !source.includes('://') && !/:\d+(?:\/|$)/.test(source))
    throw new UsageError(
      `${source}: there is no such file; a URL has a scheme or a port, as in localhost:8080/feed`,
    );
  const input = isFile ? fileInput(source, options) : urlInput(source, options);
  const known = await shell.registry();
  const registry = isFile ? known.with([new StdinInput(shell.stdio.stdin).definition]) : known;
  const text = JSON.stringify({ health_check: { enabled: false }, streams: [{ id: 'sql', input }] });
  // The values are the command line's, and no text in them is to be filled in.
  const plan = parseConfig(
    text.replaceAll('${', () => '$${'),
    { registry, env: shell.env, format: 'json' },
  );
  return { stream: plan.streams[0]!, plan, registry, live: !isFile, windowed: false };
}

function urlInput(url: string, options: SqlOptions): ComponentConfig {
  // For its errors, which name options and not fields.
  clientSettings(url, options, options.send);
  return {
    type: 'websocket',
    mode: 'client',
    ...clientFieldsOf(url, options, options.send),
    ...codecOf(options),
  };
}

function fileInput(path: string, options: SqlOptions): ComponentConfig {
  return { ...(path === '-' ? { type: STDIN } : sampleFile(path)), ...codecOf(options) };
}

function codecOf({ codec }: SqlOptions): { codec?: ComponentConfig } {
  return codec === 'none' ? {} : { codec: { type: codec } };
}

/** A stream of a file, up to a stage, without its log, output and error_output. */
async function configSource(shell: Shell, file: string, options: SqlOptions): Promise<Source> {
  const { plan, registry } = await loadConfig(file, { registry: await shell.registry(), env: shell.env });
  const stream = plan.streams[chosenStream(plan.streams, options.stream, file)]!;
  const { stage = 'output' } = options;
  if (!STAGE.test(stage))
    throw new UsageError(`--stage ${stage}: expected input, buffer, processors.<number> or output`);
  const all = stream.pipeline.processors;
  const last = stage.startsWith('processors.') ? Number(stage.slice('processors.'.length)) : all.length - 1;
  if (stage !== 'output' && last >= all.length)
    throw new UsageError(
      `--stage ${stage}: stream ${stream.id} has ${all.length} processors, counted from 0`,
    );
  if (acknowledges(stream.input))
    throw new UsageError(
      `stream ${stream.id} acknowledges its messages, and a query keeps none of them: senders would lose what you look at`,
    );
  const processors = stage === 'input' || stage === 'buffer' ? [] : all.slice(0, last + 1);
  const buffer = stage === 'input' ? undefined : stream.buffer;
  return {
    stream: {
      ...stream,
      buffer,
      pipeline: { ...stream.pipeline, processors },
      error_output: undefined,
      durability: undefined,
    },
    plan,
    registry,
    live: stream.input.type !== 'file',
    windowed: buffer !== undefined,
  };
}

/** True if the input, or one of its inputs, confirms messages to their sender. */
function acknowledges(input: ComponentConfig): boolean {
  const inputs = (input['inputs'] ?? []) as readonly ComponentConfig[];
  return input['ack'] !== undefined || inputs.some(acknowledges);
}
