import { z } from 'zod';
import {
  defineInput,
  defineOutput,
  defineProcessor,
  type AnyDefinition,
} from '../../src/component/define.ts';
import type { Input, Output, Processor } from '../../src/component/contracts.ts';
import { Registry } from '../../src/component/registry.ts';
import { components } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { EndOfInputError } from '../../src/errors.ts';
import { Batch } from '../../src/message/batch.ts';
import type { Delivery } from '../../src/message/delivery.ts';
import { createReceipt } from '../../src/message/receipt.ts';
import { Engine } from '../../src/runtime/engine.ts';
import { createLogger } from '../../src/telemetry/logger.ts';

const meta = { summary: 'For tests.', status: 'stable', examples: [] } as const;

/** An input of the test's own, `type: <name>`. */
export const testInput = (type: string, input: Partial<Input> & Pick<Input, 'read'>): AnyDefinition =>
  defineInput({
    ...meta,
    type,
    schema: z.strictObject({}),
    create: () => ({ connect: () => Promise.resolve(), close: () => Promise.resolve(), ...input }),
  });

/** An output of the test's own, `type: <name>`. */
export const testOutput = (type: string, output: Partial<Output> & Pick<Output, 'write'>): AnyDefinition =>
  defineOutput({
    ...meta,
    type,
    schema: z.strictObject({}),
    create: () => ({ connect: () => Promise.resolve(), close: () => Promise.resolve(), ...output }),
  });

/** A processor of the test's own, `type: <name>`. */
export const testProcessor = (type: string, processor: Processor): AnyDefinition =>
  defineProcessor({ ...meta, type, schema: z.strictObject({}), create: () => processor });

/** An engine for a file whose text is `yaml`, with the test's own components beside Millrace's. */
export function engineFor(yaml: string, own: readonly AnyDefinition[] = []): Engine {
  const { plan, registry } = planFor(yaml, own);
  return new Engine(plan, { registry, logger: createLogger(plan.logging) });
}

/** The plan of the same. */
export function planFor(yaml: string, own: readonly AnyDefinition[] = []) {
  const registry = new Registry([...components, ...own]);
  const text = `health_check: { enabled: false }\nlogging: { level: silent }\n${yaml}`;
  return { plan: parseConfig(text, { registry, env: {} }), registry };
}

/** Text messages with a receipt. */
export function settling(texts: readonly string[], settled: (error?: unknown) => void): Delivery {
  const batch = new Batch(texts.map((text) => Buffer.from(text)));
  return { batch, receipt: createReceipt({ settled: (error) => settled(error) }) };
}

export function textsOf(batch: Batch): string[] {
  return batch.payloads.map((payload) => Buffer.from(payload).toString());
}

/** The value of one line of the Prometheus text, labels sorted as they are printed; 0 when there is none. */
export async function metric(engine: Engine, name: string, labels: string): Promise<number> {
  const text = await engine.metrics.registry.metrics();
  const line = text.split('\n').find((each) => each.startsWith(`${name}{${labels}} `));
  return line === undefined ? 0 : Number(line.split(' ').at(-1));
}

/** An input `numbers` of numbered one-message batches, and the end of each. */
export function numbers(count: number, textOf: (number: number) => string = String) {
  const settled = new Map<number, unknown>();
  let next = 0;
  const definition = testInput('numbers', {
    read: () => {
      if (next === count) return Promise.reject(new EndOfInputError());
      const number = next++;
      return Promise.resolve(settling([textOf(number)], (error) => settled.set(number, error)));
    },
  });
  return { definition, settled, read: () => next };
}

/** An output that keeps the texts of its batches. */
export function collecting(type = 'collect') {
  const texts: string[] = [];
  const definition = testOutput(type, {
    write: (batch) => {
      texts.push(...textsOf(batch));
      return Promise.resolve();
    },
  });
  return { definition, texts };
}
