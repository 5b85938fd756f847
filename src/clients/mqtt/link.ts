import type { Duplex } from 'node:stream';
import type { IClientOptions, IConnackPacket, IPublishPacket, MqttClient, Packet } from 'mqtt';
import type { Context } from '../../component/context.ts';
import { maskUrl } from '../../component/mask.ts';
import { abortable } from '../../component/waker.ts';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import { readSecret } from '../../net/credentials/read-secret.ts';
import { attemptError, Deadline } from '../../net/deadline.ts';
import { loadTls } from '../../net/tls.ts';
import { within } from '../within.ts';
import type { MqttConfig } from './fields.ts';

/** How long a connection may take to end in good order, in milliseconds. */
const LAST_WORDS = 500;

/** The session of a client that the broker keeps while it is away. */
export interface Session {
  readonly clean: boolean;
  /** For MQTT 5, in seconds. */
  readonly expiry: number;
  /** The most messages that the broker may send before they are acknowledged (MQTT 5). */
  readonly receiveMaximum: number;
}

/** An open connection. It does not connect again: the engine makes a new one. */
export class MqttLink {
  readonly client: MqttClient;
  /** Safe to show. */
  readonly url: string;
  readonly connack: IConnackPacket;
  readonly #timeout: number;
  readonly #gone = new AbortController();
  #isOurs = false;

  private constructor(
    client: MqttClient,
    connack: IConnackPacket,
    { url, timeout, context }: { url: string; timeout: number; context: Context },
  ) {
    this.client = client;
    this.connack = connack;
    this.url = url;
    this.#timeout = timeout;
    context.events.connectionOpened({ url });
    let reason = '';
    client.on('error', (error) => (reason = errorMessage(error)));
    client.on('disconnect', ({ reasonCode }) => (reason = `reason code ${reasonCode ?? 0}`));
    client.once('close', () =>
      this.cut(new NotConnectedError(`${url} closed the connection${reason === '' ? '' : `: ${reason}`}`)),
    );
    this.gone.addEventListener('abort', () => {
      const { message } = this.gone.reason as Error;
      context.events.connectionClosed({ code: this.#isOurs ? 1000 : 1006, reason: message, url });
    });
  }

  /** Aborts when the connection is gone; its reason says why. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /**
   * `arrived` gets each message, which is acknowledged by `acknowledge` alone. Messages of a session that was kept arrive
   * before this resolves.
   * @throws NotConnectedError; the signal's reason
   */
  static async open(
    config: MqttConfig,
    { context, signal, session, arrived }: OpenOptions,
  ): Promise<MqttLink> {
    const { timeout } = config;
    const url = urlOf(config);
    const shown = maskUrl(url);
    const deadline = new Deadline(signal, timeout);
    let client: MqttClient | undefined;
    try {
      const { default: mqtt } = await import('mqtt');
      const opened = mqtt.connect(url, await optionsOf(url, config, session));
      client = opened;
      opened.on('error', () => {});
      if (arrived !== undefined) receive(opened, arrived);
      const { promise, resolve, reject } = Promise.withResolvers<IConnackPacket>();
      opened.once('connect', resolve);
      opened.once('error', reject);
      opened.once('close', () => reject(new Error('the broker closed the connection')));
      const connack = await abortable(promise, deadline.signal);
      return new MqttLink(opened, connack, { url: shown, timeout, context });
    } catch (error) {
      if (client !== undefined) destroy(client);
      throw attemptError(`cannot connect to ${shown}`, error, deadline.signal);
    } finally {
      deadline.clear();
    }
  }

  /**
   * Waits for an answer of the broker. If it does not come in time, the connection is cut.
   * @throws NotConnectedError; the signal's reason
   */
  async answer<T>(what: string, promise: Promise<T>, signal: AbortSignal): Promise<T> {
    const either = AbortSignal.any([signal, this.gone]);
    try {
      return await within(`${this.url}: ${what}`, promise, { timeout: this.#timeout, signal: either });
    } catch (error) {
      // Whatever the broker still answers is about messages that nobody waits for any more.
      if (error instanceof NotConnectedError) this.cut(error);
      else if (signal.aborted) {
        // Nobody is at fault: it is no warning.
        this.#isOurs = true;
        this.cut(new NotConnectedError(`${this.url}: an answer was not waited for`));
      }
      throw error;
    }
  }

  /** Tells the broker that a message is done. */
  acknowledge({ messageId, qos }: IPublishPacket): void {
    if (this.gone.aborted || messageId === undefined) return;
    privateOf(this.client)._sendPacket({ cmd: qos === 2 ? 'pubrec' : 'puback', messageId, [OURS]: true });
  }

  /** Says goodbye, if the broker listens, and closes the connection. */
  async close(signal: AbortSignal): Promise<void> {
    this.#isOurs = true;
    if (!this.gone.aborted) {
      const ended = this.client.endAsync();
      await within('goodbye', ended, { timeout: LAST_WORDS, signal }).catch(() => {});
    }
    this.cut(new NotConnectedError('closed'));
  }

  /** Closes the connection at once, for the reason. */
  cut(reason: Error): void {
    this.#gone.abort(reason);
    destroy(this.client);
  }
}

interface OpenOptions {
  readonly context: Context;
  readonly signal: AbortSignal;
  readonly session?: Session | undefined;
  readonly arrived?: ((message: IPublishPacket) => void) | undefined;
}

const OURS = Symbol('ours');

/** Parts of the library that it declares private. Its version is pinned exactly. */
interface Private {
  _sendPacket(packet: object, sent?: () => void, ...rest: unknown[]): void;
}

function privateOf(client: MqttClient): Private {
  return client as unknown as Private;
}

/**
 * The library acknowledges a message when it has passed it on, and its own hook for that would let only one message be on
 * its way. Therefore its acknowledgements are taken out, and `acknowledge` sends others.
 */
function receive(client: MqttClient, arrived: (message: IPublishPacket) => void): void {
  const own = privateOf(client);
  const send = own._sendPacket.bind(client);
  own._sendPacket = (packet, sent, ...rest) => {
    const { cmd } = packet as Packet;
    const isTheirs = (cmd === 'puback' || cmd === 'pubrec') && !(OURS in packet);
    if (isTheirs) sent?.();
    else send(packet, sent, ...rest);
  };
  client.on('packetreceive', (packet) => {
    if (packet.cmd === 'publish') arrived(packet);
  });
}

function destroy(client: MqttClient): void {
  client.end(true);
  (client.stream as Duplex | undefined)?.destroy();
}

function urlOf({ url, host, port, tls }: MqttConfig): string {
  if (url !== undefined) return url;
  const name = host!.includes(':') ? `[${host}]` : host;
  return tls === undefined ? `mqtt://${name}:${port ?? 1883}` : `mqtts://${name}:${port ?? 8883}`;
}

async function optionsOf(url: string, config: MqttConfig, session?: Session): Promise<IClientOptions> {
  const { tls, username, timeout, keep_alive, protocol_version, client_id } = config;
  const password =
    config.password_file === undefined
      ? config.password
      : await readSecret(config.password_file, 'password_file');
  const secured = {
    ...(tls && (await loadTls(tls))),
    ...(tls?.server_name !== undefined && { servername: tls.server_name }),
    rejectUnauthorized: tls?.insecure_skip_verify !== true,
  };
  const isSecure = tls !== undefined && /^(?:mqtt|ws):/i.test(url);
  return {
    protocolVersion: protocol_version,
    ...(isSecure && { protocol: url.startsWith('ws') ? ('wss' as const) : ('mqtts' as const) }),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(client_id !== undefined && { clientId: client_id }),
    clean: session?.clean ?? true,
    ...(protocol_version === 5 &&
      session !== undefined && {
        properties: {
          sessionExpiryInterval: session.clean ? 0 : session.expiry,
          receiveMaximum: session.receiveMaximum,
        },
      }),
    keepalive: Math.ceil(keep_alive / 1000),
    reschedulePings: true,
    connectTimeout: timeout,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    ...secured,
    wsOptions: secured,
  };
}
