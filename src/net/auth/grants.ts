import { secretProblem, shownSecretProblem } from '../secret-text.ts';
import type { Grant } from './secret-table.ts';

/** The hashes that `htpasswd` writes in place of a password. */
const HASHED = /^(?:\$(?:2[abxy]|apr1|1|5|6|argon2\w*|y)\$|\{(?:SHA|SSHA)\})/;

/** User and password as one secret, so that an unknown user and a wrong password fail alike. */
export function userGrant(user: string, password: string): Grant {
  return { secret: `${user}:${password}`, subject: user };
}

/** Reads `TOKEN` or `TOKEN SUBJECT`. */
export function tokenGrant(entry: string): Grant {
  const [, secret = '', subject = ''] = /^(\S+)\s*(.*)$/s.exec(entry.trim()) ?? [];
  return { secret, subject: subject === '' ? undefined : subject };
}

/** Why a `TOKEN` or `TOKEN SUBJECT` entry has no usable token; undefined when it has one. */
export function tokenProblem(entry: string): string | undefined {
  const problem = secretProblem(entry.replaceAll('\t', ' '));
  if (problem !== undefined) return problem;
  // Otherwise the next word would pass for the secret.
  if (/^\s/.test(entry)) return 'begins with white space; expected the secret first (is a variable empty?)';
  return shownSecretProblem(tokenGrant(entry).secret);
}

/** The grants of a file of `user:password` lines. Throws without quoting a line. */
export function parseUsers(text: string, others: readonly Grant[]): Grant[] {
  const users = new Set(others.map(({ subject }) => subject));
  return linesOf(text).map(({ line, number }) => {
    const colon = line.indexOf(':');
    if (colon < 1 || colon === line.length - 1) throw new Error(`line ${number}: expected user:password`);
    const [user, password] = [line.slice(0, colon), line.slice(colon + 1)];
    if (HASHED.test(password)) {
      throw new Error(`line ${number}: a hash, as htpasswd writes it; expected the password itself`);
    }
    const problem = shownSecretProblem(password);
    if (problem !== undefined) throw new Error(`line ${number}: the password ${problem}`);
    if (users.has(user)) throw new Error(`line ${number}: this user already has a password`);
    users.add(user);
    return userGrant(user, password);
  });
}

/** The grants of a file of `TOKEN` or `TOKEN SUBJECT` lines. Throws without quoting a line. */
export function parseTokens(text: string, others: readonly Grant[]): Grant[] {
  const subjects = new Map(others.map(({ secret, subject }) => [secret, subject]));
  return linesOf(text).map(({ line, number }) => {
    const problem = tokenProblem(line);
    if (problem !== undefined) throw new Error(`line ${number}: ${problem}`);
    const grant = tokenGrant(line);
    if (subjects.has(grant.secret) && subjects.get(grant.secret) !== grant.subject) {
      throw new Error(`line ${number}: this token already has another subject`);
    }
    subjects.set(grant.secret, grant.subject);
    return grant;
  });
}

/** The lines without empty ones and comments, numbered from 1. */
function linesOf(text: string): { line: string; number: number }[] {
  return text
    .split(/\r?\n/)
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => line.trim() !== '' && !line.startsWith('#'));
}
