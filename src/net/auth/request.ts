import type { IncomingMessage } from 'node:http';

/** The parameters of the request's query. */
export function queryOf(request: IncomingMessage): URLSearchParams {
  return new URLSearchParams(/\?(.*)$/.exec(request.url ?? '')?.[1]);
}

/** The subprotocols that the client offers, in its order. */
export function offeredProtocols(request: IncomingMessage): string[] {
  const names = request.headers['sec-websocket-protocol']?.split(',') ?? [];
  return names.map((name) => name.trim());
}
