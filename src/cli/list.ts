import { kinds, type AnyDefinition } from '../component/define.ts';
import type { Registry } from '../component/registry.ts';
import { describeFields, type FieldDescription } from '../config/describe-fields.ts';
import { nearest } from '../config/nearest.ts';
import { componentsOf, type Shell, UsageError } from './shell.ts';

const WIDTH = 100;

/**
 * `millrace list`: every component; `millrace list NAME`: the fields of the components with this name, of each kind.
 * With a `config`, also those of its `plugins`.
 */
export async function listCommand(
  shell: Shell,
  name: string | undefined,
  config: string | undefined,
): Promise<number> {
  const registry = await componentsOf(shell, config);
  await shell.out(name === undefined ? overview(registry) : details(registry, name));
  return 0;
}

function overview(registry: Registry): string {
  const sections = kinds.map((kind) => {
    const definitions = registry.list(kind);
    if (definitions.length === 0) return '';
    const width = Math.max(...definitions.map(({ type }) => type.length));
    const lines = definitions.map(
      ({ type, status, summary }) => `  ${type.padEnd(width)}  ${status.padEnd(6)}  ${summary}\n`,
    );
    return `${kind === 'framing' ? kind : `${kind}s`}\n${lines.join('')}\n`;
  });
  return `${sections.join('')}\`millrace list NAME\` shows the fields of one component.\n`;
}

function details(registry: Registry, name: string): string {
  const all = kinds.flatMap((kind): readonly AnyDefinition[] => registry.list(kind));
  const found = all.filter(({ type }) => type === name);
  if (found.length > 0) return found.map((definition) => component(registry, definition)).join('\n');
  const meant = nearest(name, new Set(all.map(({ type }) => type)));
  throw new UsageError(
    `no component is called ${name}; ${meant === undefined ? '`millrace list` shows all' : `did you mean ${meant}?`}`,
  );
}

function component(registry: Registry, definition: AnyDefinition): string {
  const { kind, type, status, summary } = definition;
  const rows = describeFields(registry.schemaOf(definition));
  const nameWidth = Math.max(0, ...rows.map((row) => row.name.length));
  const fields = rows.map(
    (row) => `\n  ${row.name.padEnd(nameWidth)}  ${facts(row)}\n${wrap(row.description, '      ')}`,
  );
  return `${kind} ${type} (${status})\n${wrap(summary, '  ')}${fields.join('')}`;
}

/** `duration, default 5s, client mode` */
function facts(row: FieldDescription): string {
  return [
    row.type,
    row.required
      ? 'required'
      : row.requiredIn === undefined
        ? ''
        : `required in ${row.requiredIn.join(' and ')} mode`,
    row.default === undefined ? '' : `default ${row.default}`,
    row.modes === undefined ? '' : `${row.modes.join(' or ')} mode`,
    row.aliases === undefined ? '' : `also ${row.aliases.join(', ')}`,
    row.secret ? 'secret' : '',
  ]
    .filter((fact) => fact !== '')
    .join(', ');
}

function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && indent.length + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  if (line !== '') lines.push(line);
  return lines.map((each) => `${indent}${each}\n`).join('');
}
