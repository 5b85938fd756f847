import { z } from 'zod';
import { secret } from '../component/fields.ts';
import { isPlainObject, replaceAt, valueAt } from './plain.ts';
import type { Path } from './problem.ts';

// The parts of an ArkFlow file that Millrace reads over, so that the file runs unchanged.

const CONTROL = 'Millrace has no control plane, and ignores it';

const foreign = (field: z.ZodType) =>
  field
    .optional()
    .meta({ ...field.meta(), foreign: true })
    .describe(`ArkFlow’s; ${CONTROL}.`);

/** ArkFlow's fields of `health_check` that mean nothing here; each comes with a notice. */
export const ignoredHealthFields = {
  api_prefix: foreign(z.string()),
  api_token: foreign(secret()),
  cors_origins: foreign(z.array(z.string())),
  hub_url: foreign(z.string()),
  node_id: foreign(z.string()),
  node_token: foreign(secret()),
  agent_lease_ttl_ms: foreign(z.int()),
};

/** A sentence for each part of the file that is read over. */
export function noticesOf(root: unknown): { readonly path: Path; readonly message: string }[] {
  return Object.keys(ignoredHealthFields).flatMap((name) => {
    const path = ['health_check', name];
    return valueAt(root, path) === undefined ? [] : [{ path, message: `${CONTROL}; remove it` }];
  });
}

/** The sections that may be empty, as when everything in them is a comment; `*` is each stream. */
const SECTIONS: readonly Path[] = [
  ['logging'],
  ['health_check'],
  ['plugins'],
  ['streams', '*', 'buffer'],
  ['streams', '*', 'pipeline', 'processors'],
  ['streams', '*', 'pipeline'],
  ['streams', '*', 'temporary'],
];

/**
 * The file without its empty sections: for ArkFlow, a section that has no value is not there. Others stay mistakes: an
 * empty `auth` or `durability` would silently leave a stream open or without a log.
 */
export function withoutEmptySections(root: unknown): unknown {
  const streams = valueAt(root, ['streams']);
  const count = Array.isArray(streams) ? streams.length : 0;
  const paths = SECTIONS.flatMap((path) =>
    path[1] === '*' ? Array.from({ length: count }, (_, index) => path.with(1, index)) : [path],
  );
  return paths.reduce((file, path) => (valueAt(file, path) === null ? without(file, path) : file), root);
}

function without(root: unknown, path: Path): unknown {
  const [name] = path.slice(-1);
  const owner = path.slice(0, -1);
  const fields = valueAt(root, owner);
  if (!isPlainObject(fields)) return root;
  return replaceAt(root, owner, Object.fromEntries(Object.entries(fields).filter(([key]) => key !== name)));
}
