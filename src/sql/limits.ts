import type { BudgetLimits } from '../component/budget.ts';

const MIB = 1024 ** 2;

/** The least that a database needs to work, and a small result on any machine. Bytes. */
const LEAST_MEMORY = 256 * MIB;
const LEAST_RESULT = 16 * MIB;

/** The limits of a query over the batches of a stream, unless its file says otherwise. Bytes. */
export function queryLimits({ bytes }: BudgetLimits): {
  readonly memoryLimit: number;
  readonly maxResultBytes: number;
} {
  return { memoryLimit: Math.max(LEAST_MEMORY, 4 * bytes), maxResultBytes: Math.max(LEAST_RESULT, bytes) };
}
