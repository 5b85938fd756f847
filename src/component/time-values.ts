import type { TemplateNames } from './template.ts';

/** The names of times in `{{…}}`. */
export const timeNames: TemplateNames = {
  now: 'the time, ISO 8601 in UTC',
  now_ms: 'the time, in milliseconds since the epoch',
  now_s: 'the time, in seconds since the epoch',
};

/** The value of one of these names; undefined for any other name. `now` in milliseconds since the epoch. */
export function timeValue(name: string, now = Date.now()): string | undefined {
  if (name === 'now') return new Date(now).toISOString();
  if (name === 'now_ms') return String(now);
  return name === 'now_s' ? String(Math.floor(now / 1000)) : undefined;
}
