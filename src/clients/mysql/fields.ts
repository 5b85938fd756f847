import { isIP } from 'node:net';
import { z } from 'zod';
import { clientTls, duration, secret } from '../../component/fields.ts';
import type { Fail, Filled } from '../../component/settings.ts';

/** The fields of every client of MySQL or MariaDB. */
export const mysqlFields = {
  url: secret(
    z.string().superRefine((text, context) => {
      const message = urlProblem(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    }),
  )
    .meta({ secret: true })
    .describe('The server and the database: `mysql://user:password@host:3306/database`.'),
  password_file: z
    .string()
    .optional()
    .describe('A file that holds the password, read at each attempt, instead of the one in `url`.'),
  tls: clientTls
    .optional()
    .describe('TLS, which the server must offer. If the host is an address, `server_name` says whose it is.'),
  timeout: duration('s', { min: 1 })
    .default(30_000)
    .describe(
      'How long the server may take to answer: to connect, and for each statement. Then the connection counts as lost.',
    ),
};

export type MysqlConfig = Filled<typeof mysqlFields>;

/** The host of a URL, an IPv6 address without its brackets. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

/** Reports mistakes in the combination of the fields. */
export function checkMysql({ url, password_file, tls }: MysqlConfig, fail: Fail): void {
  const address = URL.parse(url);
  if (address === null) return;
  if (password_file !== undefined && address.password !== '')
    fail(['password_file'], 'there is a password in `url` as well; give one of the two');
  // The library compares an address with the certificate of `localhost`.
  if (tls?.server_name === undefined && tls?.insecure_skip_verify === false && isIP(hostOf(address)) !== 0)
    fail(['tls'], 'the host in `url` is an address; add `server_name`, the name in its certificate');
}

function urlProblem(text: string): string | undefined {
  const url = URL.parse(text);
  if (url === null || !/^(?:mysql|mariadb):\/\/[^/]/i.test(text) || !/^\/[^/]+$/.test(url.pathname))
    return 'is not the URL of a database of MySQL or MariaDB; expected one like mysql://user@host:3306/database';
  const [unknown] = url.searchParams.keys();
  return unknown === undefined ? undefined : `has the unknown parameter ${unknown}; none is known`;
}
