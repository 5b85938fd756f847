import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Environment } from '../../component/contracts.ts';
import { Template, type TemplateValues } from '../../component/template.ts';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import type { Session } from '../session.ts';
import { dialWebSocket } from './dial.ts';
import type { ClientConfig } from './fields.ts';
import { attemptNames, attemptValues } from './values.ts';

const HANDSHAKE_TIMEOUT = 10_000;

export interface ConnectorOptions {
  /** A template. */
  readonly url: string;
  readonly config: ClientConfig;
  readonly env: Environment;
  /** How long the server has to answer a close frame, in milliseconds. */
  readonly closeTimeout: number;
  /** The cursor of `resume`, where there is one. */
  readonly cursor?: () => string | undefined;
}

/** Called in the turn in which the handshake ends; `url` is the one that was connected to. */
export type Opened = (socket: WebSocket, connection: Socket, url: string) => Session;

/** Opens connections to one URL, filling in afresh at every attempt what the configuration leaves open. */
export class Connector {
  readonly #options: ConnectorOptions;

  constructor(options: ConnectorOptions) {
    this.#options = options;
  }

  /** One attempt, up to the last step of `on_open`. @throws NotConnectedError, or a fatal error */
  async open(signal: AbortSignal, opened: Opened): Promise<Session> {
    const { config, closeTimeout } = this.#options;
    const values = attemptValues({
      env: this.#options.env,
      cursor: this.#options.cursor?.(),
      token: undefined,
    });
    const url = this.#url(values);
    let session: Session | undefined;
    await dialWebSocket(
      {
        url,
        headers: this.#headers(values),
        protocols: config.protocols.map((name) => fill(name, values, 'protocols')),
        timeout: config.timeout ?? HANDSHAKE_TIMEOUT,
        closeTimeout,
        maxMessageSize: config.max_message_size,
        compression: config.compression,
        tls: url.toLowerCase().startsWith('wss:') ? config.tls : undefined,
      },
      signal,
      (socket, connection) => {
        session = opened(socket, connection, url);
      },
    );
    return session!;
  }

  #url(values: TemplateValues): string {
    const { url, config } = this.#options;
    const filled = fill(url, values, 'url', encodeURIComponent);
    if (config.query === undefined) return filled;
    const target = new URL(filled);
    for (const [name, text] of Object.entries(config.query ?? {})) {
      target.searchParams.append(name, fill(text, values, `query.${name}`));
    }
    return target.href;
  }

  #headers(values: TemplateValues): Record<string, string> {
    const filled = Object.entries(this.#options.config.headers ?? {}).map(([name, text]) => [
      name,
      fill(text, values, `headers.${name}`),
    ]);
    return Object.fromEntries(filled) as Record<string, string>;
  }
}

/** @throws NotConnectedError that names the field, when something cannot be filled in */
function fill(
  text: string,
  values: TemplateValues,
  field: string,
  encode?: (value: string) => string,
): string {
  try {
    return Template.parse(text, attemptNames).render(values, encode);
  } catch (error) {
    throw new NotConnectedError(`cannot fill in \`${field}\`: ${errorMessage(error)}`, error);
  }
}
