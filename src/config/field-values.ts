import type { Unwrapped } from './schema-walk.ts';

const units = {
  duration: [
    [3_600_000, 'h'],
    [60_000, 'm'],
    [1000, 's'],
    [1, 'ms'],
  ],
  size: [
    [1024 ** 3, 'GiB'],
    [1024 ** 2, 'MiB'],
    [1024, 'KiB'],
    [1, ''],
  ],
} as const;

/** The default of a field as a file would write it: `5s` and not 5000, or undefined if there is none. */
export function defaultInFile({ default: fallback, meta }: Unwrapped): unknown {
  if (fallback === undefined) return undefined;
  const { value, parsed } = fallback;
  if (!parsed || typeof value !== 'number' || (meta.format !== 'duration' && meta.format !== 'size'))
    return value;
  if (value === 0) return meta.format === 'duration' ? '0s' : 0;
  const unit = units[meta.format].find(([factor]) => value % factor === 0);
  if (unit === undefined) return `${value}ms`;
  return unit[1] === '' ? value : `${value / unit[0]}${unit[1]}`;
}

/** A value as YAML on one line. */
export function yamlText(value: unknown): string {
  // Text that YAML could read as something else is in quotes.
  if (
    typeof value === 'string' &&
    /^[A-Za-z\d/_.][\w/.:*-]*$/.test(value) &&
    !/^(?:true|false|null|~|[\d.+-]*)$/i.test(value)
  ) {
    return value;
  }
  if (Array.isArray(value)) return `[${value.map(yamlText).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).map(([key, each]) => `${yamlText(key)}: ${yamlText(each)}`);
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`;
}
