import { type Command, InvalidArgumentError, Option } from 'commander';
import { nearest } from '../config/nearest.ts';

/** The options that `send` and `tail` share. */
export interface ClientOptions {
  readonly header?: readonly string[];
  readonly protocol?: readonly string[];
  readonly user?: string;
  readonly bearer?: string;
  readonly bearerFile?: string;
  readonly insecure?: boolean;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly proxy?: string;
  readonly compress?: boolean;
  readonly timeout: string;
  readonly pingInterval: string;
  readonly maxMessageSize: string;
}

/** The ways to print a payload; the first is the default. */
export const codecs = ['auto', 'text', 'json', 'base64', 'raw'] as const;
export type Codec = (typeof codecs)[number];

export const connectionHelp = `
The URL is ws:// or wss://. You can also write http:// or https://, or leave the scheme out: localhost:8080/feed is
ws://localhost:8080/feed. The URL, headers and subprotocols may contain {{env:NAME}}, {{file:PATH}}, {{now_ms}} and the
like, filled in at every attempt. Use these for secrets: every user of the machine can see a command line.`;

/** Adds the options of a WebSocket client. */
export function addClientOptions(command: Command): Command {
  return command
    .addOption(repeated('-H, --header <header>', "a header of the handshake, 'Name: value'; repeatable"))
    .addOption(repeated('--protocol <name>', 'a subprotocol to offer; repeatable, preferred first'))
    .addOption(
      new Option('-u, --user <user:password>', 'authenticate with HTTP Basic').conflicts([
        'bearer',
        'bearerFile',
      ]),
    )
    .addOption(
      new Option('--bearer <token>', 'authenticate with a bearer token').conflicts(['user', 'bearerFile']),
    )
    .addOption(
      new Option('--bearer-file <file>', 'the same, from a file that is read at every attempt').conflicts([
        'user',
        'bearer',
      ]),
    )
    .option('-k, --insecure', 'accept any certificate; TLS then protects nothing')
    .option('--ca-file <file>', 'certificates of the authorities to trust, PEM')
    .option('--cert-file <file>', 'the certificate to show to the server, PEM; with --key-file')
    .option('--key-file <file>', 'the key of that certificate, PEM')
    .option('-x, --proxy <url>', 'an HTTP or SOCKS proxy, or none; without it, the environment decides')
    .option('--compress', 'offer permessage-deflate')
    .option('--timeout <duration>', 'how long the handshake may take', '10s')
    .option('--ping-interval <duration>', 'ping a connection that is quiet for this long; 0 for never', '30s')
    .option('--max-message-size <size>', 'the largest message', '16MiB');
}

/** The options that `send` and `replay` share besides. */
export interface SendingOptions {
  readonly rate?: number;
  readonly id?: string;
  readonly ack?: string;
  readonly ackTimeout?: string;
  readonly maxUnacknowledged?: number;
  readonly reconnect?: boolean;
  readonly attempts?: number;
  readonly closeTimeout: string;
}

/** Adds the options of commands that send. */
export function addSendingOptions(command: Command): Command {
  return command
    .option('--rate <n>', 'send at most this many messages a second', positiveNumber)
    .option('--id <path>', 'the JSON path of a message’s id, such as data.id')
    .option('--ack <path>', 'the JSON path of the same id in the message that acknowledges it')
    .option('--ack-timeout <duration>', 'give up when none is acknowledged for this long (default: 30s)')
    .addOption(
      new Option(
        '--max-unacknowledged <n>',
        'how many messages may wait for one at the same time (default: 1000)',
      ).argParser(positiveInteger),
    )
    .option('--reconnect', 'reconnect as often as needed, and continue')
    .addOption(attemptsOption())
    .option('--close-timeout <duration>', 'how long the server may take to read everything and close', '60s');
}

/** For commands that reconnect. */
export function attemptsOption(): Option {
  return new Option('--attempts <n>', 'give up after this many failed connections in a row').argParser(
    positiveInteger,
  );
}

/** An option that can be given more than once; with `known`, each value must be one of these. */
export function repeated(flags: string, description: string, known?: readonly string[]): Option {
  const add = (value: string, previous: readonly string[] = []): string[] => {
    if (known?.includes(value) !== false) return [...previous, value];
    const meant = nearest(value, known ?? []);
    throw new InvalidArgumentError(meant === undefined ? 'There is no such name.' : `Did you mean ${meant}?`);
  };
  return new Option(flags, description).argParser(add);
}

/** Reads a whole number of at least 1. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('Expected a whole number of at least 1.');
  }
  return value;
}

/** Reads a number above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || value <= 0) throw new InvalidArgumentError('Expected a number above 0.');
  return value;
}
