import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Environment } from '../../component/contracts.ts';
import type { TemplateNames, TemplateValues } from '../../component/template.ts';

/** What `{{…}}` may name in what a client sends to open a connection; filled in afresh at every attempt. */
export const attemptNames: TemplateNames = {
  cursor: 'the cursor of `resume`',
  'env:': 'an environment variable',
  'file:': 'the content of a file, without its last line break',
  now: 'the time, ISO 8601 in UTC',
  now_ms: 'the time, in milliseconds since the epoch',
  now_s: 'the time, in seconds since the epoch',
  random: 'a random number, 32 hexadecimal digits',
  token: 'the token of `auth`',
};

/** The values of one attempt. They throw what reading a file throws. */
export function attemptValues(sources: {
  env: Environment;
  cursor: string | undefined;
  token: string | undefined;
}): TemplateValues {
  return (name, argument = '') => {
    if (name === 'cursor') return sources.cursor;
    if (name === 'token') return sources.token;
    if (name === 'env') return sources.env[argument];
    // Once for each attempt, and small: not worth making every template wait.
    if (name === 'file') return readFileSync(argument, 'utf8').replace(/\r?\n$/, '');
    if (name === 'random') return randomBytes(16).toString('hex');
    return timeValue(name);
  };
}

/** `now`, `now_ms` and `now_s`; undefined for any other name. */
export function timeValue(name: string): string | undefined {
  if (name === 'now') return new Date().toISOString();
  if (name === 'now_ms') return String(Date.now());
  return name === 'now_s' ? String(Math.floor(Date.now() / 1000)) : undefined;
}
