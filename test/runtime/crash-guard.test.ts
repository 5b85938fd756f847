import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DurableProcess } from '../support/durable-process.ts';
import { send } from '../support/peers.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

/** A test starts up to eight processes, one after the other. Milliseconds. */
const LONG = 240_000;

const dir = tempDir();
let files = 0;

/** A stream with the processor `killer`, and its files. */
class Guarded {
  readonly #name = `guarded-${files++}`;
  readonly file: string;

  constructor(
    fields: { killer?: string; buffer?: string; input?: string; output?: string; more?: string } = {},
  ) {
    const {
      killer = '',
      buffer = '',
      input = '',
      output = `{ type: file, path: "${this.#path('out')}" }`,
    } = fields;
    this.file = dir.file(
      `${this.#name}.yaml`,
      `health_check: { address: "127.0.0.1:0" }
logging: { format: json }
streams:
  - id: s
    input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      codec: { type: json }
      ack:
        when: delivered
        id: id
        reply: '{"ack":"{{id}}"}'
        reject_reply: '{"nack":"{{id}}","code":"{{code}}"}'
      ${input}
    ${buffer}
    pipeline: { processors: [{ type: killer ${killer} }] }
    output: ${output}
    error_output: { type: file, path: "${this.#path('dead')}" }
    durability: { path: "${this.#path('log')}" }
${fields.more ?? ''}
`,
    );
  }

  start(): DurableProcess {
    return new DurableProcess(this.file, { entry: program('killer') });
  }

  /** The messages that the output has. */
  get ids(): string[] {
    return this.#lines('out').map((line) => (JSON.parse(line) as { id: string }).id);
  }

  /** The id and the code of each dead letter. */
  get dead(): [string, string][] {
    return this.#lines('dead').map((line) => {
      const letter = JSON.parse(line) as { payload: string; error: { code: string } };
      return [(JSON.parse(letter.payload) as { id: string }).id, letter.error.code];
    });
  }

  /** Starts it until it stays up. @returns the process, and the number of times that it died */
  async restart(): Promise<{ run: DurableProcess; crashes: number }> {
    for (let crashes = 0; crashes < 10; crashes++) {
      const run = this.start();
      let died = false;
      void run.cli.result.then(() => (died = true));
      // It may die while it is asked.
      const ready = async (): Promise<boolean> =>
        await run.readiness().then(
          ({ status }) => status === 200,
          () => false,
        );
      await until('its end, or readiness and a dead letter', async () => died || (await ready()), {
        timeout: LONG,
        state: () => run.log,
      });
      await until('its end, or a dead letter', () => died || this.dead.length > 0, { state: () => run.log });
      if (!died) return { run, crashes };
      expect(run.cli.child.signalCode).toBe('SIGSEGV');
    }
    throw new Error('it dies again and again');
  }

  #path(what: string): string {
    return join(dir.path, `${this.#name}-${what}`);
  }

  #lines(what: string): string[] {
    const path = this.#path(what);
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
  }
}

const message = (id: string): string => JSON.stringify({ id });
const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index));

/** Sends these until the process dies. */
async function sendUntilDeath(guarded: Guarded, ids: readonly string[]): Promise<void> {
  const run = guarded.start();
  const sender = await run.client();
  await send(sender, ...ids.map(message));
  await run.cli.result;
  expect(run.cli.child.signalCode).toBe('SIGSEGV');
}

test(
  'a message that ends the process is found by itself, after three ends in which there was nothing else',
  async () => {
    const guarded = new Guarded();
    await sendUntilDeath(guarded, [...numbers(1, 40), 'poison', ...numbers(41, 80)]);
    const { run, crashes } = await guarded.restart();
    expect(crashes).toBe(3);
    expect(guarded.dead).toEqual([['poison', 'MILLRACE_PROCESSOR_CRASHED']]);
    // Its neighbors are not to blame; messages that were not in the log when the process died were not acknowledged.
    await until('its neighbours', () => guarded.ids.includes('40'));
    // The order stays.
    const ids = [...new Set(guarded.ids)];
    expect(ids).toEqual(numbers(1, ids.length));
    // When it comes again it is recognized, and its sender is told.
    const sender = await run.client();
    await send(sender, message('81'), message('poison'), message('82'));
    await until('three replies', () => sender.replies.length === 3);
    expect(sender.replies.toSorted()).toEqual([
      '{"ack":"81"}',
      '{"ack":"82"}',
      '{"nack":"poison","code":"MILLRACE_PROCESSOR_CRASHED"}',
    ]);
    run.cli.child.kill('SIGTERM');
    expect((await run.cli.result).code).toBe(0);
    // And after a restart as well.
    const again = guarded.start();
    const late = await again.client();
    await send(late, message('poison'));
    await until('a reply', () => late.replies.length === 1);
    expect(late.replies).toEqual(['{"nack":"poison","code":"MILLRACE_PROCESSOR_CRASHED"}']);
  },
  LONG,
);

test(
  'it is found among thousands of waiting messages, and so is a second one',
  async () => {
    const guarded = new Guarded({ killer: ', slow: 1' });
    const others = numbers(1, 3000);
    await sendUntilDeath(guarded, [...others.slice(0, 1500), 'poison-1', ...others.slice(1500), 'poison-2']);
    const { run } = await guarded.restart();
    run.cli.child.kill('SIGTERM');
    await run.cli.result;
    // The second one may not have been in the log when the process died.
    for (const [, code] of guarded.dead) expect(code).toBe('MILLRACE_PROCESSOR_CRASHED');
    expect(['poison-1', 'poison-1,poison-2']).toContain(String(guarded.dead.map(([id]) => id)));
    const ids = [...new Set(guarded.ids)];
    expect(ids).toEqual(others.slice(0, ids.length));
  },
  LONG,
);

test(
  'its sender is told when it sends it again, also if `dedupe` knows the repeat',
  async () => {
    const guarded = new Guarded({ input: 'dedupe: { key: id, per: all, window: 1h }' });
    await sendUntilDeath(guarded, ['1', 'poison', '2']);
    const { run } = await guarded.restart();
    const sender = await run.client();
    await send(sender, message('1'), message('poison'), message('2'));
    await until('three replies', () => sender.replies.length === 3);
    expect(sender.replies.toSorted()).toEqual([
      '{"ack":"1"}',
      '{"ack":"2"}',
      '{"nack":"poison","code":"MILLRACE_PROCESSOR_CRASHED"}',
    ]);
    // Messages written right before the process died may be there twice; repeated ones may not.
    expect(['1,2', '1,1,2']).toContain(String(guarded.ids));
  },
  LONG,
);

test(
  'a pipeline that has changed gets the message again',
  async () => {
    const guarded = new Guarded();
    await sendUntilDeath(guarded, ['1', 'poison']);
    const { run } = await guarded.restart();
    run.cli.child.kill('SIGTERM');
    await run.cli.result;
    const text = readFileSync(guarded.file, 'utf8').replace(
      '{ type: killer ',
      '{ type: killer, poison: other',
    );
    dir.file(guarded.file.slice(dir.path.length + 1), text);
    const mended = guarded.start();
    const sender = await mended.client();
    await send(sender, message('poison'));
    await until('a reply', () => sender.replies.length === 1);
    expect(sender.replies).toEqual(['{"ack":"poison"}']);
  },
  LONG,
);

test(
  'in a window: the message that ends the process is found, and the others are in the next window',
  async () => {
    const guarded = new Guarded({ buffer: 'buffer: { type: tumbling_window, interval: 1s }' });
    await sendUntilDeath(guarded, [...numbers(1, 20), 'poison', ...numbers(21, 40)]);
    const { crashes } = await guarded.restart();
    expect(crashes).toBe(3);
    expect(guarded.dead).toEqual([['poison', 'MILLRACE_PROCESSOR_CRASHED']]);
    await until('the window', () => guarded.ids.includes('20'));
    expect(new Set(guarded.dead.map(([id]) => id)).size).toBe(1);
  },
  LONG,
);

test(
  'in a window: if only two messages together end the process, the second is rejected, and nothing else',
  async () => {
    const guarded = new Guarded({
      buffer: 'buffer: { type: tumbling_window, interval: 1s }',
      killer: ', pair: [left, right]',
    });
    await sendUntilDeath(guarded, [...numbers(1, 5), 'left', ...numbers(6, 10), 'right']);
    const { run, crashes } = await guarded.restart();
    expect(crashes).toBe(4);
    expect(guarded.dead).toEqual([['right', 'MILLRACE_PROCESSOR_CRASHED']]);
    await until('the window', () => guarded.ids.length >= 11);
    expect(guarded.ids).toEqual([...numbers(1, 5), 'left', ...numbers(6, 10)]);
    // It alone is not to blame.
    const sender = await run.client();
    await send(sender, message('right'));
    await until('a reply', () => sender.replies.length === 1);
    expect(sender.replies).toEqual(['{"ack":"right"}']);
  },
  LONG,
);

test(
  'kill -9 at any moment, again and again: no message of a healthy stream is blamed',
  async () => {
    // Nothing is delivered, so nothing is ever settled; each kill is during the trials, or after them.
    const guarded = new Guarded({
      killer: ', slow: 5',
      output: '{ type: websocket, url: "ws://127.0.0.1:9/nobody" }',
    });
    const first = guarded.start();
    const sender = await first.client();
    await send(sender, ...numbers(1, 300).map(message));
    await until('them to be in the log', async () => (await logged(first)) >= 1);
    first.cli.child.kill('SIGKILL');
    await first.cli.result;
    let inTrial = 0;
    for (let round = 0; round < 6; round++) {
      const run = guarded.start();
      await until(
        'the start',
        () => run.log.includes('it may have been processing') || run.log.includes('listening on'),
      );
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
      if (!run.log.includes('listening on')) inTrial++;
      run.cli.child.kill('SIGKILL');
      await run.cli.result;
    }
    expect(inTrial).toBeGreaterThan(2);
    const last = guarded.start();
    await last.client();
    expect(guarded.dead).toEqual([]);
    expect(last.log).not.toContain('MILLRACE_PROCESSOR_CRASHED');
  },
  LONG,
);

test(
  'a process with two streams: a message of one ends it, and no message of the other is blamed',
  async () => {
    const name = `other-${files}`;
    const more = `  - id: other
    input: { type: generate, context: '{"id":"innocent"}', interval: 5ms, count: 400 }
    pipeline: { processors: [{ type: killer, slow: 20 }] }
    output: { type: drop }
    error_output: { type: file, path: "${join(dir.path, `${name}-dead`)}" }
    durability: { path: "${join(dir.path, `${name}-log`)}" }`;
    const guarded = new Guarded({ more });
    await sendUntilDeath(guarded, ['1', 'poison', '2']);
    const { crashes } = await guarded.restart();
    expect(crashes).toBe(3);
    expect(guarded.dead).toEqual([['poison', 'MILLRACE_PROCESSOR_CRASHED']]);
    expect(
      existsSync(join(dir.path, `${name}-dead`)) ? readFileSync(join(dir.path, `${name}-dead`), 'utf8') : '',
    ).toBe('');
  },
  LONG,
);

/** How many batches the log has. */
async function logged(run: DurableProcess): Promise<number> {
  const metrics = await run.metrics();
  return Number(/^millrace_log_entries\{[^}]*\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}
