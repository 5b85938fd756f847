import type { ServerAuth } from './auth-schema.ts';

/** The settings of a server that could pass a client's secret on. */
interface Settings {
  readonly auth?: ServerAuth | undefined;
  readonly protocols?: readonly string[] | undefined;
  readonly metadata?:
    | { readonly headers?: readonly string[] | undefined; readonly query?: readonly string[] | undefined }
    | undefined;
}

/** Reports settings that would put clients' secrets into the metadata of their messages, or into the answer. */
export function checkSecretsKept(
  { auth, protocols = [], metadata }: Settings,
  fail: (path: (string | number)[], message: string) => void,
): void {
  if (auth === undefined || auth.type === 'mtls') return;
  const { headers, query } = placesOf(auth);
  const message = 'holds the credentials, which are not kept; remove it';
  for (const [index, name] of (metadata?.headers ?? []).entries())
    if (headers.includes(name)) fail(['metadata', 'headers', index], message);
  for (const [index, name] of (metadata?.query ?? []).entries())
    if (name === query) fail(['metadata', 'query', index], message);
  const prefix = auth.type === 'api_key' ? auth.subprotocol : undefined;
  if (prefix === undefined) return;
  for (const [index, name] of protocols.entries())
    if (name.startsWith(prefix))
      fail(['protocols', index], 'begins like a key (`auth.subprotocol`), so it would never be selected');
}

/** The places where a client may put its secret. */
function placesOf(auth: ServerAuth): { headers: readonly string[]; query?: string | undefined } {
  if (auth.type === 'bearer' || auth.type === 'jwt') return { headers: ['authorization'], query: auth.query };
  if (auth.type !== 'api_key') return { headers: ['authorization'] };
  const protocols = auth.subprotocol === undefined ? [] : ['sec-websocket-protocol'];
  return { headers: [auth.header, ...protocols], query: auth.query };
}
