/**
 * Writes the parts of the documentation that come from the code: the reference pages, and the regions of other pages
 * between `<!-- generated:name -->` and `<!-- /generated -->`. `npm run docs` writes them. With `--check`, the script
 * writes nothing, shows the differences, and fails if there are any.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { Registry as MetricsRegistry } from 'prom-client';
import type { z } from 'zod';
import { markdown, type Results } from '../faults/report.ts';
import { kinds, type AnyDefinition, type Kind } from '../src/component/define.ts';
import { registry } from '../src/components/index.ts';
import { describeFields, type FieldDescription } from '../src/config/describe-fields.ts';
import { defOf, tagsOf, unwrap } from '../src/config/schema-walk.ts';
import { errorCodes } from '../src/cli/error-codes.ts';
import { subjects } from '../src/sql/datafusion/functions.ts';
import type { Subject } from '../src/sql/datafusion/subject.ts';
import { createMetrics } from '../src/telemetry/metrics.ts';
import { collectProcessMetrics } from '../src/telemetry/process-metrics.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const NOTE = '<!-- Generated from the source by `npm run docs`; do not edit by hand. -->';

const plurals: Readonly<Record<Kind, string>> = {
  input: 'inputs',
  buffer: 'buffers',
  processor: 'processors',
  output: 'outputs',
  framing: 'framing',
  codec: 'codecs',
};

/** The place of a component in a file, as the path that leads to it. */
const places: Readonly<Record<Kind, string>> = {
  input: '`streams[].input`',
  buffer: '`streams[].buffer`',
  processor: '`streams[].pipeline.processors[]`',
  output: '`streams[].output` and `streams[].error_output`',
  framing: '`framing` of an input or an output',
  codec: '`codec` of an input or an output',
};

/** Longer pages that explain what a reference page only lists; from `docs/`. */
const guides: Readonly<Record<string, string>> = {
  'input websocket': 'websocket-input.md',
  'output websocket': 'websocket-output.md',
};

/** The page of a component, from the root of the repository. */
export function pageOf({ kind, type }: AnyDefinition): string {
  return `docs/reference/${plurals[kind]}/${type}.md`;
}

/** Every generated page, whole, by its path from the root of the repository. */
export async function generatePages(): Promise<Map<string, string>> {
  const pages = new Map<string, string>();
  for (const definition of definitions()) pages.set(pageOf(definition), componentPage(definition));
  pages.set('docs/reference/README.md', indexPage());
  pages.set('docs/reference/errors.md', errorsPage());
  pages.set('docs/reference/datafusion-functions.md', functionsPage());
  const regions: Readonly<Record<string, () => string | Promise<string>>> = {
    components: componentsTable,
    'spec-examples': specExamples,
    metrics: streamMetricsTable,
    'process-metrics': processMetricsTable,
    faults: faultsTable,
    exports: exportsTable,
  };
  for (const path of [
    'README.md',
    'docs/websocket-input.md',
    'docs/monitoring.md',
    'docs/delivery.md',
    'docs/writing-a-component.md',
  ]) {
    pages.set(path, await fillRegions(readFileSync(join(root, path), 'utf8'), regions));
  }
  const formatted = [...pages].map(async ([path, text]) => [path, await pretty(path, text)] as const);
  return new Map(await Promise.all(formatted));
}

/** The functions of DataFusion, each with the way in which a query gets it. */
function functionsPage(): string {
  return [
    NOTE,
    '# Functions of DataFusion',
    'ArkFlow runs queries in DataFusion, Millrace in DuckDB. This page lists every function that DataFusion and datafusion-functions-json document. A query may call those under **own** and **added** by the same name, with the same result. Millrace creates an added function when a query calls it; it takes no `DISTINCT`, `FILTER` or `ORDER BY` in its parentheses.',
    'Other parts of SQL that differ:',
    [
      '| | DataFusion | DuckDB |',
      '| --- | --- | --- |',
      '| `5 / 2` | `2` | `2.5`; `5 // 2` is `2` |',
      '| `1 / 0` | an error | infinity, which becomes null in JSON |',
      '| `CAST(2.5 AS INT)` | `2` | `3`; write `CAST(trunc(2.5) AS INT)` |',
      '| `ORDER BY x DESC` | NULL first | NULL last; write `ORDER BY x DESC NULLS FIRST` |',
    ].join('\n'),
    ...subjects.flatMap(functionsOf),
  ].join('\n\n');
}

function functionsOf({ title, own, macros, differs, missing }: Subject): string[] {
  const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');
  const added = Object.keys(macros).flatMap((names) => names.split(' '));
  const rows = (said: Readonly<Record<string, string>>, split: boolean): string[] =>
    Object.entries(said).map(
      ([names, text]) =>
        `| ${split ? code(names.split(/[ ,]+/)) : code([names])} | ${text.replaceAll('|', '\\|')} |`,
    );
  const table = (head: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : [`| ${head} | |\n| --- | --- |\n${lines.join('\n')}`];
  return [
    `## ${title}`,
    ...(own === '' ? [] : [`Own: ${code(own.split(' '))}.`]),
    ...(added.length === 0 ? [] : [`Added: ${code(added.toSorted())}.`]),
    ...table('with another meaning', rows(differs, true)),
    ...table('not available', rows(missing, false)),
  ];
}

/** The library's exports, each with its docstring. @throws Error for an export without one */
function exportsTable(): string {
  const index = ['src/index.ts', 'src/component-api.ts']
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n');
  const rows = Array.from(
    index.matchAll(/^export (?:type )?\{([^}]+)\} from '(\.[^']+)';/gms),
    ([, names, file]) => {
      const source = readFileSync(join(root, 'src', file!), 'utf8');
      return names!
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '')
        .map((name) => [name, docstringOf(name, source, file!)] as const);
    },
  );
  const sorted = rows.flat().toSorted(([a], [b]) => a.toLowerCase().localeCompare(b.toLowerCase(), 'en'));
  const lines = sorted.map(([name, text]) => `| \`${name}\` | ${text.replaceAll('|', '\\|')} |`);
  return `| export | |\n| --- | --- |\n${lines.join('\n')}`;
}

function docstringOf(name: string, source: string, file: string): string {
  const declared = new RegExp(
    `/\\*\\*((?:(?!\\*/).)*)\\*/\\nexport (?:async |abstract )?(?:function|class|const|interface|type) ${name}\\b`,
    's',
  ).exec(source);
  if (declared === null) throw new Error(`${file}: the export ${name} has no docstring`);
  return declared[1]!
    .replaceAll(/\n \* ?/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

/** Pages under `docs/reference` that are no longer generated. */
export function stalePages(pages: ReadonlyMap<string, string>): string[] {
  return globSync('docs/reference/**/*.md', { cwd: root }).filter((path) => !pages.has(path));
}

function definitions(): AnyDefinition[] {
  return kinds.flatMap((kind): readonly AnyDefinition[] => registry.list(kind));
}

function componentPage(definition: AnyDefinition): string {
  const { kind, type, status, summary, description, examples } = definition;
  const schema = registry.schemaOf(definition);
  const fields = describeFields(schema);
  const choices = choicesOf(schema);
  const guide = guides[`${kind} ${type}`];
  return [
    NOTE,
    `# \`${type}\` ${kind}`,
    summary,
    `Status: ${status}. Its place in a file: ${places[kind]}.`,
    guide === undefined ? '' : `[This guide](../../${guide}) explains it in context.`,
    description ?? '',
    examples.length === 0 ? '' : '## Examples',
    ...examples.map(
      ({ title, yaml }) => `${title}:\n\n\`\`\`yaml fragment\n${kind}:\n${indent(yaml.trimEnd())}\n\`\`\``,
    ),
    '## Fields',
    fields.length === 0 ? `This component has no fields besides \`type: ${type}\`.` : '',
    ...fields.map((row) => field(row, choices.get(row.name))),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** The choices of `type` that have each field, unless all have it: `auth.users` is for `basic` only. */
function choicesOf(schema: z.core.$ZodType): Map<string, Set<string>> {
  const choices = new Map<string, Set<string>>();
  for (const shape of shapesOf(schema)) {
    for (const [name, outer] of Object.entries(shape)) {
      const tags = tagsOf(unwrap(outer).schema);
      if (tags?.field !== 'type') continue;
      for (const { name: type, schema: option } of tags.options) {
        for (const key of shapesOf(option).flatMap((each) => Object.keys(each))) {
          if (key === 'type') continue;
          const path = `${name}.${key}`;
          choices.set(path, (choices.get(path) ?? new Set()).add(type));
        }
      }
    }
  }
  return choices;
}

/** The fields of an object, or of each mode's object of a component with modes. */
function shapesOf(schema: z.core.$ZodType): Readonly<Record<string, z.core.$ZodType>>[] {
  const { schema: inner } = unwrap(schema);
  const def = defOf(inner);
  if (def.type === 'object') return [def.shape];
  return tagsOf(inner)?.options.flatMap((option) => shapesOf(option.schema)) ?? [];
}

function field(row: FieldDescription, choices: ReadonlySet<string> | undefined): string {
  const facts = [
    choices === undefined ? '' : `For \`type: ${[...choices].join('`, `')}\``,
    `Type: ${row.type.replaceAll(' | ', ' or ')}`,
    row.required ? 'required' : requiredIn(row),
    row.default === undefined ? '' : `default: \`${row.default}\``,
    row.modes === undefined ? '' : `${row.modes.map((mode) => `\`mode: ${mode}\``).join(' and ')} only`,
    row.aliases === undefined ? '' : `also written \`${row.aliases.join('`, `')}\`, ArkFlow’s name`,
    row.secret ? 'never shown in logs or errors' : '',
  ].filter((fact) => fact !== '');
  return `### \`${row.name}\`\n\n${row.description}\n\n${facts.join(' · ')}`;
}

function requiredIn({ requiredIn: modes }: FieldDescription): string {
  return modes === undefined ? 'optional' : `required with \`mode: ${modes.join('` and `mode: ')}\``;
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? line : `  ${line}`))
    .join('\n');
}

function indexPage(): string {
  const sections = kinds.map((kind) => {
    const lines = registry
      .list(kind)
      .map(
        ({ type, status, summary }) => `- [\`${type}\`](${plurals[kind]}/${type}.md) (${status}): ${summary}`,
      );
    const name = plurals[kind];
    return `## ${name.charAt(0).toUpperCase()}${name.slice(1)}\n\n${lines.join('\n')}`;
  });
  return [
    NOTE,
    '# Reference',
    'Every component and its fields. `millrace list` and `millrace list NAME` print the same; `millrace schema` prints it as JSON Schema, for editors. [Configuration](../configuration.md) describes the rest of a file, and [Errors](errors.md) lists every error code.',
    ...sections,
  ].join('\n\n');
}

function errorsPage(): string {
  const sections = Object.entries(errorCodes).map(([code, { help, told }]) => {
    const sentence = told === undefined ? '' : `\n\nThe sender sees: “${told}”.`;
    return `## \`${code}\`\n\n${help}${sentence}`;
  });
  return [
    NOTE,
    '# Errors',
    'Codes do not change: programs and alerts may rely on them. A code is in the log line’s field `code`, in the label `code` of the metrics `millrace_errors_total` and `millrace_dead_letters_total`, in `error.code` of a [dead letter](../concepts.md#errors-and-dead-letters), and in the property `code` of errors that the library throws.',
    'An unforeseen error has no code of its own. It appears as `MILLRACE_UNEXPECTED`, with the message of the system or the library that threw it.',
    ...sections,
  ].join('\n\n');
}

function componentsTable(): string {
  const rows = kinds.map((kind) => {
    const links = registry
      .list(kind)
      .map((each) => `[\`${each.type}\`](${pageOf(each)})${each.status === 'beta' ? ' (beta)' : ''}`);
    return `| ${plurals[kind]} | ${links.join(', ')} |`;
  });
  return `| kind | components |\n| --- | --- |\n${rows.join('\n')}`;
}

/** The specification's examples, byte for byte: prettier would change their quotes. */
function specExamples(): string {
  const examples = [
    ['websocket-server', 'WebSocket Server', ''],
    ['websocket-client', 'WebSocket Client', ''],
    ['secure-websocket', 'Secure WebSocket (WSS)', 'TOKEN=… '],
    ['websocket-server-custom-path', 'WebSocket Server with Custom Path', ''],
  ] as const;
  return examples
    .map(([name, title, environment]) => {
      const path = `examples/spec/${name}.yaml`;
      const yaml = readFileSync(join(root, path), 'utf8').trimEnd();
      const command = `${environment}./millrace run ${path}`;
      return `**${title}**: \`${command}\`\n\n<!-- prettier-ignore -->\n\`\`\`yaml\n${yaml}\n\`\`\``;
    })
    .join('\n\n');
}

async function streamMetricsTable(): Promise<string> {
  const { registry, latency } = createMetrics();
  // A histogram of the library's own has no labels before it has a value.
  latency.observe('', 0, 1);
  return await metricsTable(registry);
}

async function processMetricsTable(): Promise<string> {
  const registry = new MetricsRegistry();
  collectProcessMetrics(registry);
  return await metricsTable(registry);
}

async function metricsTable(registry: MetricsRegistry): Promise<string> {
  const labels = new Map(
    registry
      .getMetricsAsArray()
      .map((metric) => [
        metric.name,
        'labelNames' in metric ? (metric.labelNames as readonly string[]) : undefined,
      ]),
  );
  const described = await registry.getMetricsAsJSON();
  const rows = described.map(({ name, help, type, values }) => {
    const names = labels.get(name) ?? Object.keys(values[0]?.labels ?? {}).filter((label) => label !== 'le');
    return `| \`${name}\` | ${String(type)} | ${names.map((label) => `\`${label}\``).join(', ')} | ${help} |`;
  });
  return `| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n${rows.join('\n')}`;
}

/** The results of the last long fault campaign. */
function faultsTable(): string {
  const results = JSON.parse(readFileSync(join(root, 'faults/results.json'), 'utf8')) as Results;
  return markdown(results);
}

/** @throws Error for a region that has no end, or that no code fills */
async function fillRegions(
  text: string,
  regions: Readonly<Record<string, () => string | Promise<string>>>,
): Promise<string> {
  const parts: string[] = [];
  let rest = text;
  for (let match = START.exec(rest); match !== null; match = START.exec(rest)) {
    const end = rest.indexOf(END, match.index);
    const fill = regions[match[1]!];
    if (end < 0 || fill === undefined) throw new Error(`cannot fill the region ${match[0]}`);
    parts.push(rest.slice(0, match.index), match[0], '\n\n', await fill(), '\n\n', END);
    rest = rest.slice(end + END.length);
  }
  return parts.join('') + rest;
}
const START = /<!-- generated:([\w-]+) -->/;
const END = '<!-- /generated -->';

async function pretty(path: string, text: string): Promise<string> {
  const filepath = join(root, path);
  return await format(text, { ...(await resolveConfig(filepath)), filepath });
}

function read(path: string): string {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch {
    return '';
  }
}

function write(pages: ReadonlyMap<string, string>): void {
  for (const path of stalePages(pages)) rmSync(join(root, path));
  for (const [path, text] of pages) {
    if (read(path) === text) continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    process.stdout.write(`${path}\n`);
  }
}

/** Shows how the pages differ from the committed ones. */
function check(pages: ReadonlyMap<string, string>): boolean {
  const stale = stalePages(pages);
  for (const path of stale) process.stderr.write(`${path}: this page is no longer generated\n`);
  const different = [...pages].filter(([path, text]) => read(path) !== text);
  const temporary = mkdtempSync(join(tmpdir(), 'millrace-docs-'));
  for (const [path, text] of different) {
    const expected = join(temporary, 'expected.md');
    writeFileSync(expected, text);
    spawnSync('git', ['diff', '--no-index', '--', join(root, path), expected], { stdio: ['ignore', 2, 2] });
  }
  rmSync(temporary, { recursive: true });
  if (stale.length + different.length === 0) return true;
  process.stderr.write('the pages above do not match the source; run `npm run docs`\n');
  return false;
}

if (import.meta.main) {
  const pages = await generatePages();
  if (process.argv.includes('--check')) process.exitCode = check(pages) ? 0 : 1;
  else write(pages);
}
