import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Deadline } from './deadline.ts';
import { endpointOf, shownProxy, type Proxies } from './proxy/proxy.ts';
import { requestTarget } from './request-target.ts';
import { openTunnel, overTunnel } from './proxy/tunnel.ts';
import { errorMessage } from '../errors.ts';
import { http } from '../node-http.ts';

/** The longest answer that is read, in bytes. */
const LONGEST_BODY = 256 * 1024;

/** Posts as `fetch` does, but through the proxy and with a limit on the answer. Does not follow redirects. */
export async function httpPost(
  endpoint: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  proxies: Proxies,
  deadline: Deadline,
): Promise<Response> {
  const url = new URL(endpoint);
  const proxy = proxies.for(url);
  const secure = url.protocol === 'https:';
  const tunnel = proxy && (await openTunnel(proxy, url, deadline).catch(throughProxy(proxy, deadline)));
  const request = (secure ? httpsRequest : http.request)({
    ...endpointOf(url),
    ...deadline.addressTimeout,
    path: requestTarget(endpoint),
    method: 'POST',
    headers: { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' },
    signal: deadline.signal,
    agent: false,
    ...(tunnel !== undefined && { agent: undefined, createConnection: overTunnel(tunnel, secure) }),
  });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject).end(body);
  });
  try {
    return await readResponse(response);
  } finally {
    request.destroy();
  }
}

/** Makes an error name the proxy. */
export function throughProxy(proxy: URL, { signal }: Deadline): (error: unknown) => never {
  return (error) => {
    signal.throwIfAborted();
    throw new Error(`through the proxy ${shownProxy(proxy)}: ${errorMessage(error)}`, { cause: error });
  };
}

async function readResponse(response: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > LONGEST_BODY) throw new Error(`its answer is longer than ${LONGEST_BODY} bytes`);
  }
  const { statusCode: status = 0, statusMessage: statusText = '' } = response;
  if (status < 200 || status > 599) throw new Error(`it answered ${status}`);
  const headers = Object.entries(response.headersDistinct).flatMap(([name, values = []]) =>
    values.map((value): [string, string] => [name, value]),
  );
  const hasBody = status !== 204 && status !== 205 && status !== 304;
  return new Response(hasBody ? Buffer.concat(chunks) : null, { status, statusText, headers });
}
