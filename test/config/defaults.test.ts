import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { z } from 'zod';
import { kinds } from '../../src/component/define.ts';
import { registry } from '../../src/components/index.ts';
import { describeFields, type FieldDescription } from '../../src/config/describe-fields.ts';
import { defaultInFile } from '../../src/config/field-values.ts';
import { fileSchema } from '../../src/config/schema.ts';
import { defOf, unwrap } from '../../src/config/schema-walk.ts';

const root = new URL('../../', import.meta.url);
const sources = globSync('src/**/*.ts', { cwd: root }).map((path) => ({
  path,
  text: readFileSync(new URL(path, root), 'utf8'),
}));

const schemas = [
  fileSchema(registry),
  ...kinds.flatMap((kind) => registry.list(kind).map((each) => registry.schemaOf(each))),
];
const lastName = ({ name }: FieldDescription): string => name.split('.').at(-1)!;
const rows: FieldDescription[] = schemas.flatMap((schema) => describeFields(schema));

test('the default that the reference shows is the one that a component gets', () => {
  const seen = new Set<unknown>();
  let compared = 0;
  const visit = (schema: z.core.$ZodType): void => {
    const unwrapped = unwrap(schema);
    const fallback = defaultInFile(unwrapped);
    const declared = schema as z.ZodType;
    if (fallback !== undefined && declared.safeParse(undefined).success) {
      const { data } = declared.safeParse(undefined);
      if (data !== undefined) {
        expect(declared.safeParse(fallback).data).toEqual(data);
        compared++;
      }
    }
    if (seen.has(unwrapped.schema)) return;
    seen.add(unwrapped.schema);
    const def = defOf(unwrapped.schema);
    if (def.type === 'object') Object.values(def.shape).forEach(visit);
    if (def.type === 'union') def.options.forEach(visit);
    if (def.type === 'array') visit(def.element);
  };
  schemas.forEach(visit);
  expect(compared).toBeGreaterThan(10);
});

test('no field has a default that only documents', () => {
  const documented = sources.filter(({ text }) => /\.meta\(\{[^}]*\bdefault\b/.test(text));
  expect(documented.map(({ path }) => path)).toEqual([]);
  const inWords = rows.filter(
    (row) =>
      row.default === undefined &&
      /\d\s*\w*\s+(?:by default|unless set)|\bdefaults? (?:is|to)\b/i.test(row.description),
  );
  expect(inWords.map(({ name, description }) => `${name}: ${description}`)).toEqual([]);
});

test('no default of a field is written in the code again', () => {
  // A name that some component has without a default may belong to any other.
  const without = new Set(rows.filter((row) => row.default === undefined).map(lastName));
  const names = new Set(rows.map(lastName).filter((name) => !without.has(name)));
  expect(names.size).toBeGreaterThan(30);
  const twice = sources.flatMap(({ path, text }) => {
    const fallen = Array.from(
      text.matchAll(/\b(?:config|limits|settings|plan)\??\.(\w+) \?\?/g),
      ([, name]) => name!,
    );
    const taken = Array.from(
      text.matchAll(/\{([^{}]*)\}(?: = (?:this\.#)?(?:config|limits|settings|plan)\b|: \w+Config\b)/g),
      ([, fields]) => Array.from(fields!.matchAll(/(\w+)(?:: \w+)? = /g), ([, name]) => name!),
    ).flat();
    return [...fallen, ...taken].filter((name) => names.has(name)).map((name) => `${path}: ${name}`);
  });
  expect(twice).toEqual([]);
});

/** Groups that hold nothing but bounds. */
const BOUNDS = /(?:^|\.)(?:limits|in_flight|state)\.[^.]+$/;
/** Sizes that bound nothing: a message below the first is not compressed; a file is finished before the second. */
const NO_BOUNDS: readonly string[] = ['compression.threshold', 'rotate.size'];

test('a bound is called max_…, but for those in a group of bounds; one thing has a size, several have bytes', () => {
  const sizes = rows.filter(({ name, type }) => type === 'size' && !NO_BOUNDS.includes(name));
  const counts = rows.filter(
    ({ type, description }) =>
      type === 'integer' && /\b(?:the most|how many .* may|at most)\b/i.test(description),
  );
  const named = (row: FieldDescription): boolean => {
    const name = lastName(row);
    if (BOUNDS.test(row.name)) return !name.startsWith('max_');
    return name.startsWith('max_') && (row.type !== 'size' || /_(?:size|bytes)$/.test(name));
  };
  expect(sizes.length).toBeGreaterThan(10);
  expect(counts.length).toBeGreaterThan(3);
  expect([...sizes, ...counts].filter((row) => !named(row)).map(({ name }) => name)).toEqual([]);
});
