import { z } from 'zod';
import { clientTls, duration, secret } from '../../component/fields.ts';
import type { Fail, Filled } from '../../component/settings.ts';

/** Parameters of a URL that we know; a library would take more, and ignore what it does not know. */
const PARAMETERS: ReadonlySet<string> = new Set(['sslmode', 'application_name']);
const SSL_MODES: readonly string[] = ['disable', 'require', 'verify-ca', 'verify-full'];

/** The fields of every PostgreSQL client. */
export const postgresFields = {
  url: secret(
    z.string().superRefine((text, context) => {
      const message = urlProblem(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    }),
  )
    .meta({ secret: true })
    .describe(
      'The server and the database: `postgres://user:password@host:5432/database`. `?sslmode=require` demands TLS, whoever the server is; `verify-full` verifies its certificate too, as `tls` does.',
    ),
  password_file: z
    .string()
    .optional()
    .describe('A file that holds the password, read at each attempt, instead of the one in `url`.'),
  tls: clientTls.optional().describe('TLS, which the server must offer.'),
  timeout: duration('s', { min: 1 })
    .default(30_000)
    .describe(
      'How long the server may take to answer: to connect, and for each statement. Then the connection counts as lost.',
    ),
};

export type PostgresConfig = Filled<typeof postgresFields>;

/** Reports mistakes in the combination of the fields. */
export function checkPostgres({ url, password_file, tls }: PostgresConfig, fail: Fail): void {
  const address = URL.parse(url);
  if (address === null) return;
  if (password_file !== undefined && address.password !== '')
    fail(['password_file'], 'there is a password in `url` as well; give one of the two');
  if (tls !== undefined && address.searchParams.has('sslmode'))
    fail(['tls'], 'sslmode in `url` says the same; give one of the two');
}

function urlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || !/^postgres(?:ql)?:\/\/[^/]/i.test(text) || url.hostname === '')
    return 'not the URL of a PostgreSQL server; expected one like postgres://user@host:5432/database';
  const unknown = [...url.searchParams.keys()].find((name) => !PARAMETERS.has(name));
  if (unknown !== undefined)
    return `has the unknown parameter ${unknown}; known are ${[...PARAMETERS].join(', ')}`;
  const mode = url.searchParams.get('sslmode');
  if (mode === null || SSL_MODES.includes(mode)) return undefined;
  return `has an unknown sslmode; expected one of ${SSL_MODES.join(', ')}`;
}
