import { errorMessage } from '../errors.ts';
import type { Member } from './member.ts';

/** The answer of `millrace check --dial` for one component. */
export interface DialReport {
  readonly stream: string;
  readonly stage: 'input' | 'processor' | 'output' | 'error_output' | 'durability';
  /** The component's name; for a log, its path. */
  readonly type: string;
  /** Undefined if it connected, or if the log can be opened. */
  readonly error?: Error;
}

/**
 * Connects every component that talks to something once, without retrying, and closes them again. Also checks the path
 * of every log.
 */
export async function dialStreams(members: readonly Member[], signal: AbortSignal): Promise<DialReport[]> {
  const parts = members.flatMap(({ plan, stream }) => {
    const { id, source, pipeline, sink, errorSink } = stream.parts;
    const processors = pipeline.connectable.map(
      ({ type, dial }) =>
        ({
          stream: id,
          stage: 'processor',
          part: { dial, close: () => pipeline.close(signal) },
          type,
        }) as const,
    );
    return [
      { stream: id, stage: 'input', part: source, type: plan.input.type },
      ...processors,
      { stream: id, stage: 'output', part: sink, type: plan.output.type },
      { stream: id, stage: 'error_output', part: errorSink, type: plan.error_output?.type ?? '' },
    ] as const;
  });
  const [inputs, outputs] = ([true, false] as const).map((first) =>
    parts.filter(({ stage, part }) => (stage === 'input') === first && part !== undefined),
  ) as [typeof parts, typeof parts];
  const dialAll = async (some: typeof parts): Promise<DialReport[]> =>
    await Promise.all(some.map(({ part, ...component }) => reportOf(component, () => part!.dial(signal))));
  try {
    const logs = await dialLogs(members);
    // Inputs first, and nothing closes before the end: an output may write to an input of the same file.
    return [...logs, ...(await dialAll(inputs)), ...(await dialAll(outputs))];
  } finally {
    // Outputs first: they say goodbye to inputs of the same file.
    for (const some of [outputs, inputs]) await Promise.all(some.map(({ part }) => part!.close(signal)));
  }
}

async function dialLogs(members: readonly Member[]): Promise<DialReport[]> {
  const reports: DialReport[] = [];
  for (const { plan, stream } of members) {
    const { id, source } = stream.parts;
    if (source.dialLog === undefined) continue;
    const log = { stream: id, stage: 'durability', type: plan.durability!.path } as const;
    reports.push(await reportOf(log, () => source.dialLog!()));
  }
  return reports;
}

async function reportOf(component: DialReport, dial: () => Promise<void>): Promise<DialReport> {
  try {
    await dial();
    return component;
  } catch (error) {
    return { ...component, error: error instanceof Error ? error : new Error(errorMessage(error)) };
  }
}
