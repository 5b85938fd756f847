import { z } from 'zod';
import { defineBuffer } from '../../component/define.ts';
import { duration } from '../../component/fields.ts';
import { HoldingBuffer } from '../../component/holding-buffer.ts';

const schema = z.strictObject({
  interval: duration('s', { min: 1 }).describe('The length of a window.'),
});

/** Windows of fixed length, one after the other. */
export const tumblingWindowBuffer = defineBuffer({
  type: 'tumbling_window',
  summary: 'Gives the messages of each window of time as one batch.',
  status: 'stable',
  description:
    'Windows follow each other without gap or overlap and start at whole multiples of `interval` since the epoch (UTC); a message belongs to the window in which it arrived here. An empty window gives nothing. What a window holds counts in the stream’s `in_flight` budget: if a window does not fit, the senders wait until it has ended.',
  schema,
  examples: [{ title: 'One second', yaml: 'type: tumbling_window\ninterval: 1s\n' }],
  create: ({ interval }) => new TumblingWindow(interval),
});

class TumblingWindow extends HoldingBuffer {
  readonly #interval: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(interval: number) {
    super();
    this.#interval = interval;
  }

  protected override wrote(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.release();
      },
      this.#interval - (Date.now() % this.#interval),
    );
  }

  protected override ended(): void {
    clearTimeout(this.#timer);
  }
}
