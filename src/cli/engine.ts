import type { Environment } from '../component/context.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Engine } from '../runtime/engine.ts';
import type { Logger } from '../telemetry/logger.ts';

/**
 * An engine for a file, with every component created and its queries checked.
 * @throws ConfigError for mistakes that only the components could see
 */
export async function prepareEngine(config: LoadedConfig, logger: Logger, env: Environment): Promise<Engine> {
  for (const notice of config.notices) logger.warn(notice);
  const { Engine: EngineClass } = await import('../runtime/engine.ts');
  const engine = new EngineClass(config.plan, { registry: config.registry, logger, env });
  const findings = await engine.prepare();
  if (findings.length === 0) return engine;
  await engine.close();
  throw config.mistakes(findings);
}
