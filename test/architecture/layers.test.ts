import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { expect, test } from 'vitest';

const root = new URL('../../src', import.meta.url).pathname;

/** Layers from the top down: a file may import from its own layer's folder and from those below. */
const layers = [
  ['main.ts'],
  ['index.ts'],
  ['component-api.ts'],
  ['testing-api.ts'],
  ['testing'],
  ['cli'],
  ['config'],
  ['runtime'],
  ['control'],
  ['components'],
  ['clients'],
  ['websocket'],
  ['net'],
  ['delivery'],
  ['sql'],
  ['component'],
  ['telemetry'],
  ['message'],
  ['errors.ts', 'folders.ts', 'node-http.ts', 'plural.ts'],
];

/** Layers below that a layer still may not import: it is handed a registry value instead. */
const never: Readonly<Record<string, readonly string[]>> = {
  runtime: ['components'],
  control: ['components'],
  config: ['components'],
};

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function imports(): Import[] {
  const files = globSync('**/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts'));
  return files.flatMap((from) => {
    const text = readFileSync(join(root, from), 'utf8');
    const pattern = /^(?:import|export)\s+(type\s)?[^;]*?from\s+'(\.[^']+)'|import\('(\.[^']+)'\)/gm;
    return Array.from(text.matchAll(pattern), ([, typeOnly, fixed, lazy]) => ({
      from,
      to: relative(root, join(root, dirname(from), fixed ?? lazy ?? '')),
      typeOnly: typeOnly !== undefined,
    }));
  });
}

const layerOf = (file: string): string => file.split(sep)[0]!;
const rank = (file: string): number => layers.findIndex((names) => names.includes(layerOf(file)));

test('every source file belongs to a layer', () => {
  expect(imports().length).toBeGreaterThan(100);
  expect(imports().flatMap(({ from, to }) => [from, to].filter((file) => rank(file) < 0))).toEqual([]);
});

test('no import points up', () => {
  const up = imports().filter(({ from, to }) => rank(to) < rank(from));
  expect(up).toEqual([]);
});

test('runtime, control and config are handed the components, and import none', () => {
  const wrong = imports().filter(({ from, to }) => never[layerOf(from)]?.includes(layerOf(to)));
  expect(wrong).toEqual([]);
});

test('the library exports everything that components import, except clients, WebSocket, network, log and SQL', () => {
  const names = (text: string, pattern: RegExp): Set<string> =>
    new Set(
      Array.from(text.matchAll(pattern), ([, list]) => list!.split(',')).flatMap((list) =>
        list.map((name) => name.trim().replace(/^type /, '')).filter((name) => name !== ''),
      ),
    );
  const read = (file: string): string => readFileSync(join(root, file), 'utf8');
  const exported = names(read('component-api.ts'), /^export (?:type )?\{([^}]+)\} from/gm);
  const used = globSync('components/*/**/*.ts', { cwd: root }).flatMap((file) => [
    ...names(
      read(file),
      /^import (?:type )?\{([^}]+)\} from '(?:\.\.\/)+(?:component|message|telemetry|errors|folders)[./][^']*'/gm,
    ),
  ]);
  expect(used.length).toBeGreaterThan(50);
  expect([...new Set(used)].filter((name) => !exported.has(name))).toEqual([]);
});

test('a component imports no sibling, no runtime, and does not read the environment', () => {
  const component = (file: string): string => file.split(sep).slice(0, 3).join(sep).replace(/\.ts$/, '');
  const siblings = imports().filter(
    ({ from, to }) =>
      layerOf(from) === 'components' &&
      from !== join('components', 'index.ts') &&
      layerOf(to) === 'components' &&
      component(from) !== component(to),
  );
  expect(siblings).toEqual([]);
  const readers = globSync('components/**/*.ts', { cwd: root }).filter((file) =>
    readFileSync(join(root, file), 'utf8').includes('process.env'),
  );
  expect(readers).toEqual([]);
});

test('node:http is imported for its types alone: an import of its values loads fetch at every start', () => {
  const wrong = globSync('**/*.ts', { cwd: root }).filter((file) =>
    /^(?:import|export)\s+(?!type\b)[^;]*?from 'node:http'/m.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(wrong).toEqual([]);
});
