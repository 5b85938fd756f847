import type { ClientOptions, SendingOptions } from './client-options.ts';
import { clientSettings, readDuration } from './client-settings.ts';
import { Connection } from './connection.ts';
import { Interrupt } from './interrupt.ts';
import { Pace } from './pace.ts';
import { Progress, Rate } from './progress.ts';
import type { Letters } from './replay-letters.ts';
import type { Replayed } from './replay-summary.ts';
import { acknowledgementsOf, failureLine, persistenceOf, takeLeave } from './send.ts';
import type { Messages } from './send-source.ts';
import { Sender } from './sender.ts';
import type { Shell } from './shell.ts';

/** Sends the payloads of dead letters to a WebSocket server, as `millrace send` sends lines. */
export function urlReplay(shell: Shell, url: string, options: ClientOptions & SendingOptions) {
  const settings = clientSettings(url, options);
  const closeTimeout = readDuration('--close-timeout', options.closeTimeout, { min: 1 });
  const acknowledgements = acknowledgementsOf(options);
  const persistence = persistenceOf(options);

  return async (letters: Letters): Promise<Replayed> => {
    const interrupt = new Interrupt();
    const { signal } = interrupt;
    const { stderr } = shell.stdio;
    const notice = (text: string): void => progress.aside(`${text}\n`);
    const connection = new Connection({
      settings,
      env: shell.env,
      ...persistence,
      closeTimeout,
      received: (payload) => {
        if (acknowledgements?.received(payload) === true) sender.wake();
      },
      closed: () => sender.wake(),
      notice,
    });
    const sender = new Sender({
      connection,
      source: new LetterMessages(letters),
      pace: new Pace(options.rate ?? Infinity),
      acknowledgements,
      resend: options.reconnect === true && acknowledgements === undefined,
      signal,
      notice,
    });
    const rate = new Rate();
    const confirmed = (): number => acknowledgements?.count ?? sender.written;
    const progress = new Progress(
      stderr,
      stderr.isTTY === true,
      () => `${confirmed()} of ${letters.total} replayed, ${rate.next(sender.sent)}/s`,
    );
    let failure: unknown;
    try {
      await sender.run();
      failure = letters.failure;
    } catch (error) {
      failure = error;
    }
    letters.close();
    const unsent = await takeLeave(connection, sender, acknowledgements, signal);
    failure ??= unsent;
    progress.stop();
    interrupt.dispose();
    return {
      confirmed: confirmed(),
      // Behind the last letter before which none is missing.
      safe: acknowledgements === undefined ? sender.written : (acknowledgements.first ?? sender.sent + 1) - 1,
      failure: failure === undefined ? undefined : failureLine(failure),
      notes: [],
    };
  };
}

/** Dead letters as the messages of a `Sender`. */
class LetterMessages implements Messages {
  readonly #letters: Letters;
  /** A payload that has to be sent again is the same buffer. */
  readonly #binary = new WeakSet<Buffer>();

  constructor(letters: Letters) {
    this.#letters = letters;
  }

  async *blocks(): AsyncGenerator<readonly Buffer[], void, undefined> {
    for await (const letters of this.#letters.blocks()) {
      for (const { payload, binary } of letters) if (binary) this.#binary.add(payload);
      yield letters.map(({ payload }) => payload);
    }
  }

  isBinary(message: Buffer): boolean {
    return this.#binary.has(message);
  }
}
