import { configJsonSchema } from '../config/json-schema.ts';
import { componentsOf, type Shell } from './shell.ts';

/**
 * `millrace schema`: the JSON Schema of a configuration file, for editors; with the components of the `plugins` of
 * `config`.
 */
export async function schemaCommand(shell: Shell, config: string | undefined): Promise<number> {
  await shell.out(`${JSON.stringify(configJsonSchema(await componentsOf(shell, config)), null, 2)}\n`);
  return 0;
}
