import { z } from 'zod';
import { secret } from '../../component/fields.ts';
import { parseProxy } from './proxy.ts';

/** The proxy of a client that speaks HTTP or WebSocket. */
export const proxyField = secret(
  z
    .string()
    .refine(
      (value) => value === 'none' || parseProxy(value) !== undefined,
      'not a proxy; expected a URL like http://host:3128, https://…, socks5://host:1080, socks5h://…, socks4://… or socks4a://…, or none',
    ),
)
  .optional()
  .meta({ secret: true })
  .describe(
    'The HTTP or SOCKS proxy to connect through, to the token endpoint of `auth` as well; `none` for no proxy at all. Without it, `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment decide.',
  );
