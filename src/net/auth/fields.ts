import { z } from 'zod';
import { duration, headerName, refuseOtherMode, secret } from '../../component/fields.ts';
import { bearerProblem, secretProblem, shownSecretProblem } from '../secret-text.ts';
import { tokenGrant, tokenProblem } from './grants.ts';

const client = { mode: 'client' } as const;
const server = { mode: 'server' } as const;

const names = z.array(z.string().min(1)).min(1);
const httpUrl = z.string().refine((value) => /^https?:$/.test(URL.parse(value)?.protocol ?? ''), {
  message: 'not a URL; expected one like https://host/path',
});
const queryParameter = z
  .string()
  .min(1)
  .optional()
  .meta(server)
  .describe(
    'A query parameter that may hold it as well, for browsers, which cannot set headers. Proxies log URLs; prefer a header where there is a choice.',
  );

/** A secret that `problem` finds nothing wrong with. */
const secretText = (problem: (text: string) => string | undefined): z.ZodString =>
  secret(
    z.string().superRefine((text, context) => {
      const message = problem(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    }),
  );

const kind = <T extends string>(name: T): z.ZodLiteral<T> =>
  z.literal(name).describe('The way to authenticate.');

const kinds = [
  z.strictObject({
    type: kind('basic'),
    username: z
      .string()
      .min(1)
      .regex(/^[^:]*$/, 'a user name cannot hold a colon (RFC 7617 section 2)')
      .optional()
      .meta(client)
      .describe('The user.'),
    password: secretText(secretProblem)
      .optional()
      .meta({ ...client, secret: true })
      .describe('The password.'),
    password_file: z
      .string()
      .optional()
      .meta(client)
      .describe('A file that holds the password, read at each attempt.'),
    users: secret(
      z.record(
        z
          .string()
          .min(1)
          .regex(/^[^:]*$/, 'a user name cannot hold a colon'),
        secretText(shownSecretProblem),
      ),
    )
      .refine((users) => Object.keys(users).length > 0, 'no user; expected one at least')
      .optional()
      .meta({ ...server, secret: true })
      .describe('Passwords by user.'),
    users_file: z
      .string()
      .optional()
      .meta(server)
      .describe(
        'A file of `user:password` lines, read again when it changes. Empty lines and those that begin with `#` are skipped, here and in the other files.',
      ),
  }),
  z.strictObject({
    type: kind('bearer'),
    token: secretText(bearerProblem)
      .optional()
      .meta({ ...client, secret: true })
      .describe('The token.'),
    token_file: z
      .string()
      .optional()
      .meta(client)
      .describe('A file that holds the token, read at each attempt.'),
    tokens: secret(z.array(z.string()).min(1))
      .optional()
      .meta({ ...server, secret: true })
      .describe('The tokens that are accepted, each alone or as `TOKEN SUBJECT`.'),
    tokens_file: z
      .string()
      .optional()
      .meta(server)
      .describe('A file of such tokens, one a line, read again when it changes.'),
    query: queryParameter,
  }),
  z.strictObject({
    type: kind('oauth2'),
    token_url: httpUrl.optional().meta(client).describe('The token endpoint; required.'),
    client_id: z.string().min(1).optional().meta(client).describe('The client’s id; required.'),
    client_secret: secretText(secretProblem)
      .optional()
      .meta({ ...client, secret: true })
      .describe('The client’s secret; required, here or in `client_secret_file`.'),
    client_secret_file: z
      .string()
      .optional()
      .meta(client)
      .describe('A file that holds the secret, read for each token.'),
    auth_method: z
      .enum(['client_secret_basic', 'client_secret_post'])
      .optional()
      .meta({ ...client, default: 'client_secret_basic' })
      .describe(
        'How the id and the secret are sent to the token endpoint: in a header (HTTP Basic, which every endpoint should take) or in the body.',
      ),
    scopes: names.optional().meta(client).describe('The scopes to ask for.'),
    parameters: z
      .record(z.string().min(1), z.string())
      .optional()
      .meta(client)
      .describe('More parameters for the token endpoint, such as `audience` or `resource`.'),
    refresh_before: duration('s')
      .optional()
      .meta({ ...client, default: '60s' })
      .describe('A token is not used when it expires within this time; a new one is fetched.'),
  }),
  z.strictObject({
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
      .optional()
      .meta(server)
      .describe('Signature algorithms that are accepted; required.'),
    secret: secretText(secretProblem)
      .min(32, 'too short; expected 32 characters at least (RFC 7518 section 3.2)')
      .optional()
      .meta({ ...server, secret: true })
      .describe('The shared key, for HS algorithms.'),
    key_file: z
      .string()
      .optional()
      .meta(server)
      .describe('The issuer’s public key in PEM, or several, read again when it changes.'),
    jwks_url: httpUrl
      .optional()
      .meta(server)
      .describe(
        'Where the issuer publishes its keys (RFC 7517); they are cached, and looked up again for an unknown key.',
      ),
    issuer: z.string().min(1).optional().meta(server).describe('The `iss` that a token must have.'),
    audience: z.string().min(1).optional().meta(server).describe('The `aud` that a token must have.'),
    claims: names
      .optional()
      .meta(server)
      .describe('Claims to keep in `__meta_ext`, as `claim.<name>`; `sub` is the `subject` anyway.'),
    clock_tolerance: duration('s')
      .optional()
      .meta({ ...server, default: '0s' })
      .describe(
        'How far the clocks may differ when `exp` and `nbf` are checked. The connection closes with 1008 so long after `exp`.',
      ),
    query: queryParameter,
  }),
  z.strictObject({
    type: kind('api_key'),
    keys: secret(z.array(z.string()).min(1))
      .optional()
      .meta({ ...server, secret: true })
      .describe('The keys that are accepted, each alone or as `KEY SUBJECT`.'),
    keys_file: z
      .string()
      .optional()
      .meta(server)
      .describe('A file of such keys, one a line, read again when it changes.'),
    header: headerName
      .optional()
      .meta({ ...server, default: 'x-api-key' })
      .describe('The header that holds the key.'),
    query: queryParameter,
    subprotocol: z
      .string()
      .regex(
        /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/,
        'not the beginning of a subprotocol name (RFC 6455 section 4.1)',
      )
      .optional()
      .meta(server)
      .describe(
        'What a subprotocol begins with that holds the key as well, for browsers: with `key.` a client offers `key.SECRET` beside the subprotocol that it wants. A key is never answered; without `protocols`, the first other one is.',
      ),
  }),
  z.strictObject({
    type: kind('mtls'),
    subjects: names
      .optional()
      .meta(server)
      .describe(
        'Common names of the certificates that are accepted. Without it, every certificate that `tls.ca_file` signed is.',
      ),
  }),
] as const;

export const auth = z.discriminatedUnion('type', kinds);

export type AuthConfig = z.output<typeof auth>;

/** Which mode each way to authenticate is for, where it is for one only. */
const modeOf: Readonly<Record<AuthConfig['type'], 'client' | 'server' | undefined>> = {
  basic: undefined,
  bearer: undefined,
  oauth2: 'client',
  jwt: 'server',
  api_key: 'server',
  mtls: 'server',
};

/** Reports what a schema of fields alone cannot: fields of the other mode, and what is missing. */
export function checkAuth(
  value: AuthConfig,
  mode: 'client' | 'server',
  report: (path: (string | number)[], message: string) => void,
): void {
  const only = modeOf[value.type];
  if (only !== undefined && only !== mode) {
    return report(['type'], `only for \`mode: ${only}\`; this is \`mode: ${mode}\``);
  }
  const kind = kinds.find((each) => each.shape.type.value === value.type)!;
  refuseOtherMode(kind.shape, value, mode, (field, message) => report([field], message));
  const given = (...fields: string[]): string[] =>
    fields.filter((field) => (value as Readonly<Record<string, unknown>>)[field] !== undefined);
  const exactlyOne = (...fields: string[]): void => {
    if (given(...fields).length !== 1) report([], `expected one of ${fields.join(', ')}`);
  };
  const atLeastOne = (...fields: string[]): void => {
    if (given(...fields).length === 0) report([], `expected ${fields.join(' or ')}`);
  };
  const required = (...fields: string[]): void => {
    for (const field of fields) if (given(field).length === 0) report([field], 'missing');
  };
  for (const entry of ['tokens', 'keys'] as const) checkTokens(value, entry, report);
  if (value.type === 'basic') {
    if (mode === 'server') return atLeastOne('users', 'users_file');
    required('username');
    exactlyOne('password', 'password_file');
  } else if (value.type === 'bearer') {
    if (mode === 'client') exactlyOne('token', 'token_file');
    else atLeastOne('tokens', 'tokens_file');
  } else if (value.type === 'oauth2') {
    required('token_url', 'client_id');
    exactlyOne('client_secret', 'client_secret_file');
    const { username = '', password = '' } = URL.parse(value.token_url ?? '') ?? {};
    if (username !== '' || password !== '') report(['token_url'], 'cannot hold a user or password');
    const own = ['grant_type', ...(value.scopes === undefined ? [] : ['scope'])];
    if (value.auth_method === 'client_secret_post') own.push('client_id', 'client_secret');
    for (const name of own) {
      if (Object.hasOwn(value.parameters ?? {}, name)) report(['parameters', name], 'is sent already');
    }
  } else if (value.type === 'jwt') {
    required('algorithms');
    exactlyOne('secret', 'key_file', 'jwks_url');
    const shared = value.algorithms?.filter((each) => each.startsWith('HS')) ?? [];
    // A public key taken for a shared one would let anybody sign.
    if (value.secret === undefined && shared.length > 0)
      report(['algorithms'], `${shared[0]} needs \`secret\``);
    // Below 32 the field itself has been reported.
    const bytes = Math.max(32, Buffer.byteLength(value.secret ?? ''));
    const weak = shared.find((each) => bytes * 8 < Number(each.slice(2)));
    if (value.secret !== undefined && weak !== undefined)
      report(['secret'], `too short for ${weak}; expected as many bits at least (RFC 7518 section 3.2)`);
    const { username = '', password = '' } = URL.parse(value.jwks_url ?? '') ?? {};
    if (username !== '' || password !== '') report(['jwks_url'], 'cannot hold a user or password');
    if (value.secret !== undefined && shared.length < (value.algorithms?.length ?? 0)) {
      report(['algorithms'], '`secret` is for HS algorithms only; the others need key_file or jwks_url');
    }
  } else if (value.type === 'api_key') atLeastOne('keys', 'keys_file');
}

/** Reports tokens of the configuration that say nothing, or two things. */
function checkTokens(
  value: AuthConfig,
  field: 'tokens' | 'keys',
  report: (path: (string | number)[], message: string) => void,
): void {
  const entries = (value as { tokens?: string[]; keys?: string[] })[field] ?? [];
  const subjects = new Map<string, string | undefined>();
  for (const [index, entry] of entries.entries()) {
    const problem = tokenProblem(entry);
    if (problem !== undefined) {
      const hint = /[\r\n]/.test(entry) ? `; a file of several is for \`${field}_file\`` : '';
      report([field, index], problem + hint);
      continue;
    }
    const { secret, subject } = tokenGrant(entry);
    if (subjects.has(secret) && subjects.get(secret) !== subject)
      report([field, index], 'has another subject already');
    subjects.set(secret, subject);
  }
}
