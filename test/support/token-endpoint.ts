import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterTest } from './cleanup.ts';

/** A request for a token, as it came. */
export interface TokenRequest {
  /** Path and query. */
  readonly target: string | undefined;
  readonly authorization: string | undefined;
  readonly form: URLSearchParams;
}

export type TokenAnswer = (response: ServerResponse, request: TokenRequest, number: number) => void;

/** An OAuth2 token endpoint. By default it gives `token-1`, `token-2` and so on, good for an hour. */
export class TokenEndpoint {
  readonly requests: TokenRequest[] = [];
  answer: TokenAnswer = (response, _, number) => giveToken(response, `token-${number}`);
  url = '';

  async up(): Promise<this> {
    const server = createServer((request, response) => {
      void readBody(request).then((body) => {
        const { authorization } = request.headers;
        const came = { target: request.url, authorization, form: new URLSearchParams(body) };
        this.requests.push(came);
        this.answer(response, came, this.requests.length);
      });
    });
    server.listen(0, '127.0.0.1');
    afterTest(() => {
      server.close();
      server.closeAllConnections();
    });
    await once(server, 'listening');
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
    return this;
  }
}

export function giveToken(response: ServerResponse, access_token: string, expires_in = 3600): void {
  giveJson(response, 200, { access_token, token_type: 'Bearer', expires_in });
}

export function giveJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
