import { z } from 'zod';
import { duration, headerName, secret } from '../../component/fields.ts';
import { settings, type Fail } from '../../component/settings.ts';
import { bearerProblem, secretProblem, shownSecretProblem } from '../secret-text.ts';
import { tokenGrant, tokenProblem } from './grants.ts';

const names = z.array(z.string().min(1)).min(1);
const httpUrl = z
  .string()
  .refine((value) => /^https?:$/.test(URL.parse(value)?.protocol ?? ''), {
    message: 'not a URL; expected one like https://host/path',
  })
  .refine(
    (value) => {
      const { username = '', password = '' } = URL.parse(value) ?? {};
      return username === '' && password === '';
    },
    { message: 'cannot hold a user or password' },
  );
const queryParameter = z
  .string()
  .min(1)
  .optional()
  .describe(
    'A query parameter that may hold the secret as well, for browsers, which cannot set headers. Proxies log URLs: prefer a header where you can.',
  );

/** A secret in which `problem` finds no mistake. */
const secretText = (problem: (text: string) => string | undefined): z.ZodString =>
  secret(
    z.string().superRefine((text, context) => {
      const message = problem(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    }),
  );

const kind = <T extends string>(name: T): z.ZodLiteral<T> =>
  z.literal(name).describe('The way to authenticate.');

/** Requires exactly one of the fields: the secret itself, or where it is. */
function exactlyOne(value: object, fields: readonly string[], fail: Fail): void {
  if (count(value, fields) !== 1) fail([], `expected one of ${fields.join(', ')}`);
}

function atLeastOne(value: object, fields: readonly string[], fail: Fail): void {
  if (count(value, fields) === 0) fail([], `expected ${fields.join(' or ')}`);
}

function count(value: object, fields: readonly string[]): number {
  return fields.filter((field) => (value as Readonly<Record<string, unknown>>)[field] !== undefined).length;
}

const clientBasic = settings(
  {
    type: kind('basic'),
    username: z
      .string()
      .min(1)
      .regex(/^[^:]*$/, 'a user name cannot hold a colon (RFC 7617 section 2)')
      .describe('The user.'),
    password: secretText(secretProblem).optional().meta({ secret: true }).describe('The password.'),
    password_file: z.string().optional().describe('A file that holds the password, read at each attempt.'),
  },
  (value, fail) => exactlyOne(value, ['password', 'password_file'], fail),
);

const clientBearer = settings(
  {
    type: kind('bearer'),
    token: secretText(bearerProblem).optional().meta({ secret: true }).describe('The token.'),
    token_file: z.string().optional().describe('A file that holds the token, read at each attempt.'),
  },
  (value, fail) => exactlyOne(value, ['token', 'token_file'], fail),
);

const oauth2 = settings(
  {
    type: kind('oauth2'),
    token_url: httpUrl.describe('The token endpoint.'),
    client_id: z.string().min(1).describe('The client’s id.'),
    client_secret: secretText(secretProblem)
      .optional()
      .meta({ secret: true })
      .describe('The client’s secret; required, here or in `client_secret_file`.'),
    client_secret_file: z.string().optional().describe('A file that holds the secret, read for each token.'),
    auth_method: z
      .enum(['client_secret_basic', 'client_secret_post'])
      .default('client_secret_basic')
      .describe(
        'How to send the id and the secret to the token endpoint: in a header (HTTP Basic, which every endpoint should accept) or in the body.',
      ),
    scopes: names.optional().describe('The scopes to request.'),
    parameters: z
      .record(z.string().min(1), z.string())
      .default({})
      .describe('More parameters for the token endpoint, such as `audience` or `resource`.'),
    refresh_before: duration('s')
      .default(60_000)
      .describe('A token that expires within this time is replaced before it is used.'),
  },
  (value, fail) => {
    exactlyOne(value, ['client_secret', 'client_secret_file'], fail);
    const own = ['grant_type', ...(value.scopes === undefined ? [] : ['scope'])];
    if (value.auth_method === 'client_secret_post') own.push('client_id', 'client_secret');
    for (const name of own) {
      if (Object.hasOwn(value.parameters, name)) fail(['parameters', name], 'is already sent');
    }
  },
);

const serverBasic = settings(
  {
    type: kind('basic'),
    users: secret(
      z.record(
        z
          .string()
          .min(1)
          .regex(/^[^:]*$/, 'a user name cannot hold a colon'),
        secretText(shownSecretProblem),
      ),
    )
      .refine((users) => Object.keys(users).length > 0, 'no user; expected at least one')
      .optional()
      .meta({ secret: true })
      .describe('Passwords by user.'),
    users_file: z
      .string()
      .optional()
      .describe(
        'A file of `user:password` lines, read again when it changes. In this file and the others, empty lines and lines that begin with `#` are skipped.',
      ),
  },
  (value, fail) => atLeastOne(value, ['users', 'users_file'], fail),
);

const serverBearer = settings(
  {
    type: kind('bearer'),
    tokens: secret(z.array(z.string()).min(1))
      .optional()
      .meta({ secret: true })
      .describe('The accepted tokens, each alone or as `TOKEN SUBJECT`.'),
    tokens_file: z
      .string()
      .optional()
      .describe('A file of such tokens, one per line, read again when it changes.'),
    query: queryParameter,
  },
  (value, fail) => {
    checkTokens(value.tokens, 'tokens', fail);
    atLeastOne(value, ['tokens', 'tokens_file'], fail);
  },
);

const jwt = settings(
  {
    type: kind('jwt'),
    algorithms: z
      .array(
        z.enum([
          'HS256',
          'HS384',
          'HS512',
          'RS256',
          'RS384',
          'RS512',
          'PS256',
          'PS384',
          'PS512',
          'ES256',
          'ES384',
          'ES512',
          'EdDSA',
          'Ed25519',
        ]),
      )
      .min(1)
      .describe('The accepted signature algorithms.'),
    secret: secretText(secretProblem)
      .min(32, 'too short; expected at least 32 characters (RFC 7518 section 3.2)')
      .optional()
      .meta({ secret: true })
      .describe('The shared key, for HS algorithms.'),
    key_file: z
      .string()
      .optional()
      .describe('A file of the issuer’s public keys in PEM, one or several, read again when it changes.'),
    jwks_url: httpUrl
      .optional()
      .describe(
        'The URL where the issuer publishes its keys (RFC 7517). They are cached, and fetched again when a token names an unknown key.',
      ),
    issuer: z.string().min(1).optional().describe('The `iss` that a token must have.'),
    audience: z.string().min(1).optional().describe('The `aud` that a token must have.'),
    claims: names
      .optional()
      .describe('Claims to keep in `__meta_ext`, as `claim.<name>`. `sub` is always kept, as `subject`.'),
    clock_tolerance: duration('s')
      .default(0)
      .describe(
        'How far the clocks may differ when `exp` and `nbf` are checked. The connection closes with 1008 this long after `exp`.',
      ),
    query: queryParameter,
  },
  (value, fail) => {
    exactlyOne(value, ['secret', 'key_file', 'jwks_url'], fail);
    const shared = value.algorithms.filter((each) => each.startsWith('HS'));
    // If a public key passed for a shared one, anybody could sign.
    if (value.secret === undefined && shared.length > 0)
      fail(['algorithms'], `${shared[0]} needs \`secret\``);
    // The field itself reports fewer than 32.
    const bytes = Math.max(32, Buffer.byteLength(value.secret ?? ''));
    const weak = shared.find((each) => bytes * 8 < Number(each.slice(2)));
    if (value.secret !== undefined && weak !== undefined)
      fail(['secret'], `too short for ${weak}; expected at least that many bits (RFC 7518 section 3.2)`);
    if (value.secret !== undefined && shared.length < value.algorithms.length) {
      fail(['algorithms'], '`secret` is for HS algorithms only; the others need key_file or jwks_url');
    }
  },
);

const apiKey = settings(
  {
    type: kind('api_key'),
    keys: secret(z.array(z.string()).min(1))
      .optional()
      .meta({ secret: true })
      .describe('The accepted keys, each alone or as `KEY SUBJECT`.'),
    keys_file: z
      .string()
      .optional()
      .describe('A file of such keys, one per line, read again when it changes.'),
    header: headerName.default('x-api-key').describe('The header that holds the key.'),
    query: queryParameter,
    subprotocol: z
      .string()
      .regex(
        /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/,
        'not the beginning of a subprotocol name (RFC 6455 section 4.1)',
      )
      .optional()
      .describe(
        'The prefix of a subprotocol that may hold the key as well, for browsers: with `key.`, a client offers `key.SECRET` beside the subprotocol that it wants. The server never selects a key; without `protocols`, it selects the first other subprotocol.',
      ),
  },
  (value, fail) => {
    checkTokens(value.keys, 'keys', fail);
    atLeastOne(value, ['keys', 'keys_file'], fail);
  },
);

const mtls = settings({
  type: kind('mtls'),
  subjects: names
    .optional()
    .describe(
      'The common names of the accepted certificates. Without it, every certificate that `tls.ca_file` signed is accepted.',
    ),
});

const WHAT = 'How a client proves who it is, or how a server requires its clients to do so.';

/** How a client proves who it is. */
export const clientAuth = z.discriminatedUnion('type', [clientBasic, clientBearer, oauth2]).describe(WHAT);

/** How a server requires its clients to prove who they are. */
export const serverAuth = z
  .discriminatedUnion('type', [serverBasic, serverBearer, jwt, apiKey, mtls])
  .describe(WHAT);

export type ClientAuth = z.output<typeof clientAuth>;
export type ServerAuth = z.output<typeof serverAuth>;

/** Reports tokens of the configuration that are empty, or that have two subjects. */
function checkTokens(entries: readonly string[] = [], field: 'tokens' | 'keys', fail: Fail): void {
  const subjects = new Map<string, string | undefined>();
  for (const [index, entry] of entries.entries()) {
    const problem = tokenProblem(entry);
    if (problem !== undefined) {
      const hint = /[\r\n]/.test(entry) ? `; name a file of several in \`${field}_file\`` : '';
      fail([field, index], problem + hint);
      continue;
    }
    const { secret, subject } = tokenGrant(entry);
    if (subjects.has(secret) && subjects.get(secret) !== subject)
      fail([field, index], 'already has another subject');
    subjects.set(secret, subject);
  }
}
