import { errorMessage } from '../../errors.ts';

/** Each error in a tree of errors, from the outside in. The library puts those of several brokers into one. */
export function* errorsIn(error: unknown): Generator<Error & Record<string, unknown>> {
  if (!(error instanceof Error)) return;
  yield error as Error & Record<string, unknown>;
  if (error instanceof AggregateError) for (const each of error.errors) yield* errorsIn(each);
  yield* errorsIn(error.cause);
}

/** Whether a broker has answered with one of these errors, such as `MESSAGE_TOO_LARGE`; without names, with any. */
export function isAnswer(error: unknown, names?: ReadonlySet<string>): boolean {
  for (const { apiId, code } of errorsIn(error)) {
    // The library replaces the answer about a topic that is not there, and no other, by one of these.
    const name = code === 'PLT_KFK_USER' ? 'UNKNOWN_TOPIC_OR_PARTITION' : apiId;
    if (typeof name === 'string' && names?.has(name) !== false) return true;
  }
  return false;
}

/** The reason in one line: that of the innermost errors, each once. */
export function reasonOf(error: unknown): string {
  const texts = new Set<string>();
  for (const each of errorsIn(error)) {
    if (each instanceof AggregateError || each.cause instanceof Error) continue;
    const { apiId, serverErrorMessage } = each;
    const said = typeof serverErrorMessage === 'string' ? serverErrorMessage : errorMessage(each);
    texts.add(typeof apiId === 'string' ? `${apiId}: ${said}` : said);
  }
  return texts.size === 0 ? errorMessage(error) : [...texts].join('; ');
}
