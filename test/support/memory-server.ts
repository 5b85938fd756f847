import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { z } from 'zod';
import { Registry } from '../../src/component/registry.ts';
import { components } from '../../src/components/index.ts';
import { defineOutput } from '../../src/component/define.ts';
import { parseConfig } from '../../src/config/load.ts';
import { Engine } from '../../src/runtime/engine.ts';

/**
 * A process that runs the file whose text is its first line of stdin, as JSON, and says at which URL. Its memory is
 * nobody else's: each line `state` is answered with a line of JSON. The output `collect` counts, and `stall` never ends.
 */

let received = 0;
const output = (type: string, write: (count: number) => Promise<void>) =>
  defineOutput({
    type,
    summary: 'For a test.',
    status: 'stable',
    schema: z.strictObject({}),
    examples: [],
    create: () => ({
      connect: () => Promise.resolve(),
      write: (batch) => write(batch.length),
      close: () => Promise.resolve(),
    }),
  });

const registry = new Registry([
  ...components,
  output('collect', (count) => {
    received += count;
    return Promise.resolve();
  }),
  output('stall', () => new Promise(() => {})),
]);

let engine: Engine | undefined;

async function start(yaml: string): Promise<void> {
  const plan = parseConfig(yaml, { registry, env: {}, file: 'test.yaml' });
  const logger = pino(
    { base: null },
    {
      write: (line: string) => {
        const { url, msg } = JSON.parse(line) as { url?: string; msg: string };
        if (msg.startsWith('listening on ') && url !== undefined) process.stdout.write(`${url}\n`);
      },
    },
  );
  engine = new Engine(
    { ...plan, health_check: { ...plan.health_check, enabled: false } },
    { registry, logger, env: {} },
  );
  await engine.run();
}

async function state(): Promise<string> {
  engine!.health();
  const metrics = await engine!.metrics.registry.metrics();
  const inFlight = Number(/^millrace_in_flight_messages\{.*\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
  const { rss } = process.memoryUsage();
  return JSON.stringify({ rss, peak: process.resourceUsage().maxRSS * 1024, received, inFlight });
}

createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'state') void state().then((text) => process.stdout.write(`${text}\n`));
  else void start(JSON.parse(line) as string);
});
