import { configJsonSchema } from '../config/json-schema.ts';
import type { Shell } from './shell.ts';

/** `millrace schema`: JSON Schema of a configuration file, for editors. */
export async function schemaCommand(shell: Shell): Promise<number> {
  await shell.out(`${JSON.stringify(configJsonSchema(await shell.registry()), null, 2)}\n`);
  return 0;
}
