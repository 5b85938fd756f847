import { PassThrough } from 'node:stream';
import type { AnyDefinition } from '../../src/component/define.ts';
import { registry } from '../../src/components/index.ts';
import { stdoutTo } from '../../src/components/outputs/stdout.ts';
import type { Fields, Subject } from '../../src/testing-api.ts';
import { HttpServer } from '../support/http-server.ts';
import { FilePeer } from './file-peers.ts';
import { ClientPeer, inside, ServerPeer, SessionPeer } from './websocket-peers.ts';

/** A component as the kit tries it here; `of` says in which way, where there are several. */
export interface OwnSubject extends Subject {
  readonly definition: AnyDefinition;
  readonly of?: string;
}

const MESSAGES = ['{"n":0}', '{"n":1}', '{"n":2}', '{"n":3}', '{"n":4}', '{"n":5}'];
const NOT_JSON = '{"n":';
const NOT_TEXT = Uint8Array.of(0xff, 0xfe);

class StdoutPeer {
  readonly stdout = new PassThrough();
  #text = '';

  constructor() {
    this.stdout.on('data', (chunk: Buffer) => (this.#text += chunk.toString()));
  }

  start(): void {
    this.#text = '';
  }

  stop(): void {}

  arrived(): readonly string[] {
    return this.#text.split('\n').slice(0, -1);
  }
}

/** A message that an HTTP server refuses. */
const NEVER = '{"n":"never"}';

class RefusingHttpServer extends HttpServer {
  constructor() {
    super();
    this.answer = ({ body }, response) =>
      response.writeHead(body.equals(Buffer.from(NEVER)) ? 422 : 204).end();
  }

  override arrived(): readonly string[] {
    return this.bodies.filter((body) => body !== NEVER);
  }
}

const input = (type: string): AnyDefinition => registry.get('input', type);
const output = (type: string): AnyDefinition => registry.get('output', type);
const processor = (type: string): AnyDefinition => registry.get('processor', type);
const stdout = new StdoutPeer();

const inputs: readonly OwnSubject[] = [
  {
    definition: input('websocket'),
    of: 'client',
    config: { headers: { Authorization: 'Bearer a-secret-of-the-client' }, reconnect: { initial: '10ms' } },
    peer: new ServerPeer(),
  },
  {
    definition: input('websocket'),
    of: 'server',
    config: { mode: 'server', path: '/in' },
    peer: new ClientPeer('/in'),
  },
  { definition: input('memory'), config: { messages: MESSAGES }, result: MESSAGES },
  {
    definition: input('file'),
    peer: new FilePeer(MESSAGES.map((message) => `${message}\n`).join('')),
    result: MESSAGES,
  },
  {
    definition: input('generate'),
    config: { context: '{"n":0}', interval: 0, batch_size: 2, count: 4 },
    result: Array.from({ length: 4 }, () => '{"n":0}'),
  },
  {
    definition: input('multiple_inputs'),
    config: {
      inputs: [
        { type: 'memory', name: 'one', messages: MESSAGES },
        { type: 'memory', name: 'none', messages: ['{"n":6}'] },
      ],
    },
    result: [...MESSAGES, '{"n":6}'],
  },
  {
    definition: input('multiple_inputs'),
    of: 'of WebSocket inputs',
    peer: inside(new ServerPeer(), (fields) => ({
      inputs: [
        { type: 'websocket', name: 'feed', reconnect: { initial: '10ms' }, ...fields },
        { type: 'websocket', mode: 'server', name: 'quiet', host: '127.0.0.1', port: 0, path: '/quiet' },
      ],
    })),
  },
];

/** One that writes to sessions of a server beside it. */
function sessionOutput(
  mode: string,
  of: string,
  config: Fields,
  whileAway: NonNullable<Subject['whileAway']>,
): OwnSubject {
  const peer = new SessionPeer('/room');
  return {
    definition: output('websocket'),
    of,
    config: { mode, ...config },
    peer,
    beside: peer.beside,
    whileAway,
  };
}

const outputs: readonly OwnSubject[] = [
  {
    definition: output('websocket'),
    of: 'client',
    config: { headers: { Authorization: 'Bearer a-secret-of-the-client' }, reconnect: { initial: '10ms' } },
    peer: new ServerPeer(),
  },
  {
    definition: output('websocket'),
    of: 'server',
    config: { mode: 'server', path: '/out' },
    peer: new ClientPeer('/out'),
    whileAway: 'drops',
  },
  sessionOutput('server', 'to the sessions of an input', { path: '/room' }, 'drops'),
  sessionOutput('reply', 'reply', {}, 'rejects'),
  { definition: output('file'), peer: new FilePeer(), refused: 'two\nlines' },
  { definition: stdoutTo(stdout.stdout), peer: stdout, refused: 'two\nlines' },
  { definition: output('drop') },
  {
    definition: output('http'),
    config: {
      headers: { 'X-Key': 'a-secret-of-the-header' },
      auth: { type: 'bearer', token: 'a-secret-token' },
      timeout: '10s',
      retry: { initial: '10ms', max: '10ms' },
    },
    peer: new RefusingHttpServer(),
    refused: NEVER,
  },
  {
    definition: output('fan_out'),
    peer: inside(new ServerPeer(), (fields) => ({
      outputs: [{ type: 'drop' }, { type: 'websocket', reconnect: { initial: '10ms' }, ...fields }],
    })),
  },
  {
    definition: output('switch'),
    peer: inside(new ServerPeer(), (fields) => ({
      cases: [
        {
          when: 'octet_length(__value__) = 0',
          output: { type: 'drop' },
        },
      ],
      default: { type: 'websocket', reconnect: { initial: '10ms' }, ...fields },
    })),
    mistake: { cases: [{ when: 'n >', output: { type: 'drop' } }] },
  },
  {
    definition: output('fallback'),
    peer: inside(new ServerPeer(), (fields) => ({
      outputs: [{ type: 'websocket', reconnect: { initial: '10ms' }, ...fields }, { type: 'drop' }],
    })),
  },
];

const betweens: readonly OwnSubject[] = [
  {
    definition: processor('sql'),
    config: { query: 'SELECT CAST(n AS INTEGER) * 2 AS m FROM flow' },
    codec: 'json',
    messages: MESSAGES,
    result: MESSAGES.map((_, n) => `{"m":${n * 2}}`),
    refused: '{"n":"none"}',
    mistake: { query: 'SELEC n FROM flow' },
  },
  { definition: processor('batch'), config: { count: 4, timeout: '50ms' } },
  { definition: processor('json_to_arrow'), codec: 'json', messages: MESSAGES },
  { definition: processor('arrow_to_json'), codec: 'json', messages: MESSAGES },
  { definition: registry.get('buffer', 'memory'), config: { capacity: 4, timeout: '50ms' } },
  { definition: registry.get('buffer', 'tumbling_window'), config: { interval: '50ms' } },
];

const codecs: readonly OwnSubject[] = [
  { definition: registry.get('codec', 'json'), refused: NOT_JSON },
  { definition: registry.get('codec', 'text'), refused: NOT_TEXT },
  { definition: registry.get('codec', 'binary') },
  {
    definition: registry.get('codec', 'debezium_json'),
    messages: [0, 1, 2].map((id) => `{"op":"c","ts_ms":1,"after":{"id":${id}}}`),
    result: [0, 1, 2].map(
      (id) =>
        `{"id":${id},"op":"c","ts_ms":1,"source_db":null,"source_table":null,"before":null,"source":null}`,
    ),
    refused: '{"id":1}',
  },
];

const framings: readonly OwnSubject[] = [
  { definition: registry.get('framing', 'none') },
  { definition: registry.get('framing', 'lines') },
  { definition: registry.get('framing', 'lines'), of: 'compressed', config: { compression: 'gzip' } },
  { definition: registry.get('framing', 'delimiter'), config: { delimiter: '\u001e' } },
  { definition: registry.get('framing', 'json_array'), refused: '[1, 2' },
  { definition: registry.get('framing', 'length_delimited'), refused: Uint8Array.of(0, 0, 0, 9, 1) },
];

/** Every component of the registry, at least once. */
export const subjects: readonly OwnSubject[] = [...inputs, ...outputs, ...betweens, ...codecs, ...framings];
