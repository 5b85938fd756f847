import { expect, test } from 'vitest';
import { Registry } from '../../src/component/registry.ts';
import { components } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { Engine } from '../../src/runtime/engine.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { Collector, collectOutput } from '../support/collect-output.ts';

test('a stream that is added while the engine begins to run starts once', async () => {
  const out = new Collector();
  const registry = new Registry([...components, collectOutput(() => out)]);
  const lines: string[] = [];
  const logger = createLogger(
    { level: 'info', format: 'json' },
    { write: (line) => void lines.push((JSON.parse(line) as { msg: string }).msg) },
  );
  const plan = parseConfig(
    'health_check: { enabled: false }\nstreams: [{ id: one, input: { type: memory, messages: [a, b] }, output: { type: collect } }]',
    { registry, env: {} },
  );
  const engine = new Engine({ ...plan, streams: [] }, { registry, logger, keepRunning: true });
  const run = engine.run();
  expect(await engine.add(plan.streams[0]!)).toEqual([]);
  expect(await out.count(2)).toEqual(['a', 'b']);
  await engine.remove('one');
  engine.stop();
  await run;
  expect(lines.filter((line) => line.startsWith('stream started'))).toHaveLength(1);
});
