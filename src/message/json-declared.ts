import { nestedBuilder, nestedStored } from './json-declared-nested.ts';
import { Faults, type Builder } from './json-declared-builder.ts';
import { scalarBuilder, scalarStored } from './json-declared-scalar.ts';
import type { Slices } from './json-slices.ts';
import type { ColumnType, Values } from './rows.ts';

/**
 * The type as which values of a declared type are kept: the type itself, the same object, if JavaScript converts them
 * without loss. Values that only SQL converts (times, INTERVAL, UUID …) stay text, as VARCHAR, at any depth.
 */
export function storedType(type: ColumnType): ColumnType {
  return nestedStored(type, storedType) ?? scalarStored(type);
}

/**
 * The values of a declared type, of the type `storedType(type)`. A value that is not exactly one of the type becomes
 * NULL, and `fault` is told why: the message must then be rejected.
 */
export function declaredColumn(
  payloads: readonly Uint8Array[],
  slices: Slices | undefined,
  type: ColumnType,
  fault: (index: number, reason: string) => void,
): Values {
  const faults = new Faults();
  const builder = builderOf(type, faults, payloads.length);
  for (let index = 0; index < payloads.length; index++) {
    if (slices === undefined || slices.kinds[index] === 0) builder.addNull();
    else if (!builder.add(payloads[index]!, slices.starts[index]!, slices.ends[index]!))
      fault(index, faults.take(type));
  }
  return builder.values();
}

function builderOf(type: ColumnType, faults: Faults, length = 0): Builder {
  const inner = (each: ColumnType): Builder => builderOf(each, faults);
  return nestedBuilder(type, faults, inner) ?? scalarBuilder(type, faults, length);
}
