import { MillraceError } from '../errors.ts';

/** Does something with the component at a field of another one: its mistakes get that place. */
export async function inField<T>(place: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    const { message, fatal, field } = error;
    const whole = field === undefined ? place : `${place}.${field}`;
    throw new MillraceError(error, message, { cause: error, fatal, field: whole });
  }
}
