import type { Batch, Run } from '../message/batch.ts';
import { extName, metaText, type MetaName, type MetaValue } from '../message/metadata.ts';
import type { Template, TemplateNames } from './template.ts';

/** What `{{…}}` may name of a message's metadata, in whatever an output fills in for each message. */
export const metadataNames: TemplateNames = {
  source: 'the message’s `__meta_source`',
  key: 'its `__meta_key`',
  partition: 'its `__meta_partition`',
  'meta:': 'an entry of its `__meta_ext`, such as `meta:param.device`',
};

/** What a name of `metadataNames` stands for in the message at `index`, which `run` belongs to; undefined where it has none. */
export function metadataValue(
  batch: Batch,
  index: number,
  run: Run,
  name: string,
  argument = '',
): string | undefined {
  let value: MetaValue | undefined;
  if (name === 'source') value = run.origin.source;
  else if (name === 'meta') value = batch.extAt(index, argument, run);
  else if (name === 'key' || name === 'partition') value = batch.metaAt(index, name);
  return value === undefined ? undefined : metaText(value);
}

/** The columns by message that a template reads, where a batch has them. */
export function columnsIn(template: Template): ReadonlySet<MetaName> {
  const columns = new Set<MetaName>();
  for (const part of template.parts) {
    if (typeof part === 'string') continue;
    const { name, argument = '' } = part;
    if (name === 'meta') columns.add(extName(argument));
    else if (name === 'key' || name === 'partition') columns.add(name);
  }
  return columns;
}
