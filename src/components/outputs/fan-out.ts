import { z } from 'zod';
import type { ComponentConfig, Context } from '../../component/context.ts';
import type { Output, WriteCall } from '../../component/contracts.ts';
import { defineOutput } from '../../component/define.ts';
import { Branches } from '../../component/inner-outputs.ts';
import type { Batch } from '../../message/batch.ts';

/** Every message to several outputs. */
export const fanOutOutput = defineOutput({
  type: 'fan_out',
  summary: 'Writes every message to several outputs.',
  status: 'beta',
  framing: 'none',
  description: `\`outputs:\` in the place of \`output:\` in a stream is the same, with fewer lines.

A message is confirmed when every output has confirmed it, dropped it because its \`queue\` is full, or rejected it to an \`error_output\`. Each output connects, retries and keeps the order of messages by itself. One that is slow or away holds the others back only when its \`queue\` is full; with \`on_full: drop_oldest\` or \`drop_newest\` it never does.

After a crash, a stream with a log writes unconfirmed messages again to all outputs, also to those that had confirmed them: each output may see repeats, as [its own row](../../delivery.md) says. An output that recognizes repeats does so here, too.

If every output takes rows with types, they get them; otherwise all get JSON.`,
  schema: (components) =>
    z.strictObject({
      outputs: z
        .array(components.output)
        .min(1)
        .describe('The outputs. Give those of one type a `name` to tell them apart in logs and readiness.'),
    }),
  examples: [
    {
      title: 'A file with everything, and a dashboard that may lag',
      yaml: 'type: fan_out\noutputs:\n  - type: file\n    path: ./trades.jsonl\n  - type: websocket\n    mode: server\n    port: 8081\n    path: /live\n    queue:\n      max_messages: 1000\n      on_full: drop_oldest\n',
    },
    {
      title: 'A server that may fail for a minute; then its messages go to a file',
      yaml: 'type: fan_out\noutputs:\n  - type: stdout\n  - type: websocket\n    url: wss://hub.example.com/in\n    retry:\n      max_elapsed: 1m\n    error_output:\n      type: file\n      path: ./not-sent.jsonl\n',
    },
  ],
  create: ({ outputs }, context) => new FanOutOutput(outputs as ComponentConfig[], context),
});

class FanOutOutput implements Output {
  readonly maxInFlight = Infinity;
  readonly identified: boolean;
  readonly takes: 'rows' | undefined;
  readonly toClients: boolean;
  readonly #branches: Branches;

  constructor(outputs: readonly ComponentConfig[], context: Context) {
    this.#branches = new Branches(
      outputs.map((config, index) => ({
        destination: context.open('output', config),
        field: `outputs.${index}`,
      })),
    );
    this.identified = this.#branches.identified;
    this.takes = this.#branches.takes;
    this.toClients = this.#branches.toClients;
  }

  prepare(): Promise<void> {
    return this.#branches.prepare();
  }

  /** Does nothing but begin: each output connects by itself. */
  connect(signal: AbortSignal): Promise<void> {
    this.#branches.start(signal);
    return Promise.resolve();
  }

  dial(signal: AbortSignal): Promise<void> {
    return this.#branches.dial(signal);
  }

  async write(batch: Batch, call: WriteCall): Promise<void> {
    const { all } = this.#branches;
    await this.#branches.inTurn(async () => {
      for (const { destination } of all) await destination.room(batch, call.signal);
      return all.map((branch) => this.#branches.write(branch, batch, call));
    });
  }

  notReady(): string | undefined {
    return this.#branches.notReady();
  }

  reopen(): void {
    this.#branches.reopen();
  }

  close(signal: AbortSignal): Promise<void> {
    return this.#branches.close(signal);
  }
}
