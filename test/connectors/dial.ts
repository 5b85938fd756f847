import { registry } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { Engine } from '../../src/runtime/engine.ts';
import { createLogger } from '../../src/telemetry/logger.ts';

/** The answers of `check --dial` for the inputs and outputs of a file: the error of each, or undefined. */
export async function dial(yaml: string): Promise<(string | undefined)[]> {
  const plan = parseConfig(yaml, { registry });
  const engine = new Engine(plan, { registry, logger: createLogger({ level: 'silent', format: 'plain' }) });
  const reports = await engine.dial(AbortSignal.timeout(20_000));
  return reports.map(({ error }) => error?.message);
}
