import { writeSync } from 'node:fs';
import { Batch } from '../../../src/message/batch.ts';
import { Log } from '../../../src/delivery/log/log.ts';
import type { Sync } from '../../../src/delivery/log/log-options.ts';

// Appends entries to a log until it is killed or fails, and prints the number of each as it is committed. Each has its
// own number as text in its messages. With `ack` it acknowledges older entries, all but every hundredth at first.
const [path, sync, messages, mode] = process.argv.slice(2);
/** At once: output in a buffer of Node's is lost with the process. */
const print = (text: string): void => void writeSync(1, text);
const quiet = { recovered: () => {}, blocked: () => {}, unblocked: () => {} };

try {
  const log = await Log.open({
    path: path!,
    sync: sync as Sync,
    interval: 20,
    maxBytes: 64 * 1024 * 1024,
    segmentBytes: 200_000,
    events: quiet,
  });
  print(`process ${process.pid}\nopened ${log.recovered.last}\n`);
  let next = log.recovered.last;
  const writers = Array.from({ length: 4 }, async () => {
    for (;;) {
      const text = Buffer.from(`${++next} `.repeat(20));
      const number = await log.append({
        batch: new Batch(Array.from({ length: Number(messages) }, () => text)),
      });
      print(`committed ${number}\n`);
      const done = number - 20;
      if (mode !== 'ack' || done < 1 || (done < 300 && done % 100 === 0)) continue;
      // Told before: it may be killed in between.
      print(`acknowledged ${done}\n`);
      log.ack(done);
      for (const late of done === 400 ? [100, 200] : []) {
        print(`acknowledged ${late}\n`);
        log.ack(late);
      }
    }
  });
  await Promise.all(writers);
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  print(`failed ${JSON.stringify({ code, message })}\n`);
  process.exitCode = 3;
}
