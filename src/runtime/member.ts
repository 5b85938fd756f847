import { declareErrors, MillraceError, errorMessage } from '../errors.ts';
import { plural } from '../plural.ts';
import type { StreamPlan } from './plan.ts';
import type { StreamScope } from './stream-scope.ts';
import type { Stream } from './stream.ts';

/** The error code of an end that came too soon. */
export const shutdownErrors = declareErrors({
  MILLRACE_SHUTDOWN_INCOMPLETE: {
    help: 'The shutdown deadline passed, or a second signal came, before everything in flight was confirmed. The message names what was left.',
  },
});

/** A mistake that only the component itself can find. */
export interface PrepareProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** A stream with its place in the shared parts of the process. */
export interface Member {
  readonly plan: StreamPlan;
  readonly stream: Stream;
  readonly scope: StreamScope;
  /** Its end, once it runs. */
  end: Promise<'ended' | 'failed'> | undefined;
  /** It is being added, by whoever will start it. */
  joining: boolean;
  /** It is being removed or replaced. */
  leaving: boolean;
}

export async function prepareStream({ parts }: Stream): Promise<PrepareProblem[]> {
  const problems: PrepareProblem[] = [];
  const { source, pipeline, sink, errorSink } = parts;
  const report = (place: Path, error: unknown): void => void problems.push(problemAt(place, error));
  await source.prepare().catch((error: unknown) => report(['input'], error));
  for (const { path, error } of await pipeline.prepare()) report(path, error);
  await sink.prepare().catch((error: unknown) => report(['output'], error));
  await errorSink?.prepare().catch((error: unknown) => report(['error_output'], error));
  return problems;
}

/** Likely mistakes that messages have shown. */
export function remarksOf({ parts }: Stream): PrepareProblem[] {
  return parts.pipeline.remarks().map(({ path, error }) => problemAt(path, error));
}

type Path = PrepareProblem['path'];

function problemAt(place: Path, error: unknown): PrepareProblem {
  const field = error instanceof MillraceError ? (error.field?.split('.') ?? []) : [];
  const names = field.map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  return { path: [...place, ...names], message: errorMessage(error) };
}

export async function recover({ stream: { parts } }: Member): Promise<void> {
  await parts.source.recover?.(parts.abort.signal);
}

/** Frees a stream that does not run. */
export async function discard({ stream, scope }: Member): Promise<void> {
  await scope.release({ series: false });
  await stream.parts.pipeline.close(stream.parts.abort.signal);
}

/** Drains a stream, if it runs, and resolves at its end. */
export async function drained({ stream, end }: Member, signal: AbortSignal | undefined): Promise<void> {
  const abort = (): void => stream.parts.abort.abort(incomplete());
  stream.drain();
  if (signal?.aborted === true) abort();
  signal?.addEventListener('abort', abort, { once: true });
  await end;
  signal?.removeEventListener('abort', abort);
}

/** The error of a stream that ended before everything that it took in was confirmed. */
export function leftBy({ stream: { parts } }: Member): string | undefined {
  const { id, budget, state, durable } = parts;
  const count = budget.messages + state.messages;
  if (count === 0) return undefined;
  const kept = durable ? '; those in the log come first at the next start' : '';
  return `${id}: ${plural(count, 'message')} not confirmed${kept}`;
}

export function incomplete(): MillraceError {
  return new MillraceError(shutdownErrors.MILLRACE_SHUTDOWN_INCOMPLETE, 'stopped before it had drained');
}
