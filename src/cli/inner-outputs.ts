import type { ComponentConfig } from '../component/context.ts';

/** An output of a stream, or one that is a part of it. */
export interface PlacedOutput {
  /** Its place in the stream: `output.outputs.1`. */
  readonly field: string;
  readonly output: ComponentConfig;
}

/** The fields of the outputs that come with Millrace in which there are other outputs. */
const PARTS = ['error_output', 'default', 'output', 'outputs', 'cases'];

/** An output and all its parts, with their own parts and error outputs. */
export function outputsIn(output: ComponentConfig, field: string): PlacedOutput[] {
  const found: PlacedOutput[] = [];
  const visit = (part: unknown, place: string): unknown => {
    if (isOutput(part)) found.push({ field: place, output: part });
    return mapParts(part, place, visit);
  };
  visit(output, field);
  return found;
}

/** The output with each of these replaced, the innermost first. */
export function changedOutputs(
  output: ComponentConfig,
  change: (output: ComponentConfig) => ComponentConfig,
): ComponentConfig {
  const visit = (part: unknown, place: string): unknown => {
    const mapped = mapParts(part, place, visit);
    return isOutput(mapped) ? change(mapped) : mapped;
  };
  return visit(output, '') as ComponentConfig;
}

function mapParts(part: unknown, place: string, visit: (part: unknown, place: string) => unknown): unknown {
  if (typeof part !== 'object' || part === null) return part;
  const isList = Array.isArray(part);
  const changed = Object.entries(part).flatMap(([name, each]: [string, unknown]) => {
    const mapped = isList || PARTS.includes(name) ? visit(each, `${place}.${name}`) : each;
    return mapped === each ? [] : [[name, mapped] as const];
  });
  // A part without changes stays the object that it is: others know it by that.
  if (changed.length === 0) return part;
  return Object.assign(isList ? [...(part as unknown[])] : { ...part }, Object.fromEntries(changed));
}

function isOutput(part: unknown): part is ComponentConfig {
  return typeof part === 'object' && part !== null && 'type' in part && typeof part.type === 'string';
}
