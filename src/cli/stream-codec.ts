import { isDeepStrictEqual } from 'node:util';
import type { ComponentConfig } from '../component/context.ts';
import { UsageError } from './shell.ts';

/**
 * The codec of an input, or the one that all its inputs have; undefined if there is none.
 * @throws UsageError for inputs of different codecs: `unknown` says why nobody can tell which one is meant
 */
export function codecOf(input: ComponentConfig, unknown: string): ComponentConfig | undefined {
  const own = input['codec'] as ComponentConfig | undefined;
  const inputs = input['inputs'] as readonly ComponentConfig[] | undefined;
  if (own !== undefined || inputs === undefined) return own;
  const [first, ...others] = inputs.map((each) => codecOf(each, unknown));
  if (others.every((other) => isDeepStrictEqual(first, other))) return first;
  throw new UsageError(
    `the inputs of this stream have different codecs, and ${unknown}; expected one codec for all`,
  );
}
