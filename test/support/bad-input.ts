import { expect } from 'vitest';
import { startEngine, type Run } from './engine.ts';
import { frame } from './frames.ts';
import { rawUpgrade, type RawPeer } from './peers.ts';

export type Payload = string | Uint8Array;

/** A dead letter, parsed. */
export interface DeadLetter {
  readonly payload: string;
  readonly encoding: 'utf8' | 'base64';
  readonly metadata: {
    readonly __meta_source: string;
    readonly __meta_ingest_time: string;
    readonly __meta_ext: Readonly<Record<string, string>>;
  };
  readonly error: {
    readonly code: string;
    readonly stage: string;
    readonly message: string;
    readonly field?: string;
    readonly time: string;
  };
}

/** A server input with the `json` codec, an SQL query if one is given, and a client that sends by the packet. */
export async function openFeed(query?: string): Promise<Feed> {
  const processors = query === undefined ? '' : `{ type: sql, query: ${JSON.stringify(query)} }`;
  const run = await startEngine(`
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, codec: { type: json } }
    pipeline: { processors: [ ${processors} ] }
    output: { type: collect }
    error_output: { type: collect, name: errors }
`);
  return new Feed(run, await rawUpgrade(await run.url()));
}

export class Feed {
  readonly run: Run;
  readonly #peer: RawPeer;
  #sent = 0;

  constructor(run: Run, peer: RawPeer) {
    this.run = run;
    this.#peer = peer;
  }

  /** Sends all in one packet, so that they share a batch: text as text frames, bytes as binary ones. */
  send(...payloads: Payload[]): void {
    const frames = payloads.map((each) =>
      frame(typeof each === 'string' ? 'text' : 'binary', each, { mask: true }),
    );
    this.#peer.socket.write(Buffer.concat(frames));
    this.#sent += payloads.length;
  }

  /** Resolves when everything sent has come out, here or there, with the messages and the dead letters. */
  async results(timeout?: number): Promise<{ texts: string[]; letters: DeadLetter[] }> {
    const { run } = this;
    const dead = run.output('errors');
    await run.metricIs(this.#sent, 'millrace_input_messages_total');
    const rejected = async (): Promise<number> => {
      const { text } = await run.http('/metrics');
      const lines = text.split('\n').filter((line) => line.startsWith('millrace_dead_letters_total'));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    };
    await run.idle('stream-0', timeout);
    await dead.count(await rejected());
    return { texts: run.output().texts, letters: dead.values as DeadLetter[] };
  }
}

/** Checks that a dead letter is the payload sent as number `sequence`, with everything that its user needs. */
export function expectLetter(
  run: Run,
  letter: DeadLetter | undefined,
  payload: Payload,
  sequence: number,
  error: { code: string; stage: string; field?: string },
): void {
  const bytes = Buffer.from(payload as string);
  expect(letter).toEqual({
    payload: letter?.encoding === 'base64' ? bytes.toString('base64') : bytes.toString(),
    encoding: bytes.equals(Buffer.from(bytes.toString())) ? 'utf8' : 'base64',
    metadata: {
      __meta_source: run.log.find(({ msg }) => msg.startsWith('listening on '))?.['url'],
      __meta_ingest_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      __meta_ext: {
        session_id: expect.any(String),
        remote_address: '127.0.0.1',
        path: '/',
        protocol: '',
        message_type: typeof payload === 'string' ? 'text' : 'binary',
        sequence: String(sequence),
      },
    },
    error: { ...error, message: expect.any(String), time: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/) },
  });
  expect(Math.abs(Date.parse(letter!.error.time) - Date.now())).toBeLessThan(60_000);
  expect(Math.abs(Date.parse(letter!.metadata.__meta_ingest_time) - Date.now())).toBeLessThan(60_000);
}
