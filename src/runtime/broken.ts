import type { Codec, Input, Output, Processor } from '../component/contracts.ts';
import { MillraceError, thrownMessage } from '../errors.ts';

/**
 * Stands for a component whose `create` threw: `prepare` reports the mistake with its place in the file, beside all
 * others. Without `prepare`, the stream fails.
 */
export function broken(mistake: MillraceError): Input & Output & Processor & Codec {
  const refuse = (): Promise<never> => Promise.reject(mistake);
  return {
    prepare: refuse,
    connect: refuse,
    read: refuse,
    write: refuse,
    process: refuse,
    decode: refuse,
    encode: refuse,
    close: (): Promise<void> => Promise.resolve(),
  };
}

/**
 * An error of `create` as a mistake in the file. Its field is the one that the error names; `part` is the field that
 * holds the component, if it is a part of another.
 */
export function mistakeOf(error: unknown, part?: string): MillraceError {
  const known = error instanceof MillraceError ? error : undefined;
  const field = [part, known?.field].filter((each) => each !== undefined).join('.');
  return new MillraceError('MILLRACE_CONFIG_INVALID', known?.message ?? thrownMessage(error), {
    cause: error,
    fatal: true,
    ...(field !== '' && { field }),
  });
}
