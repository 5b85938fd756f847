import { Log } from '../../../src/delivery/log/log.ts';

// Opens a log, and reads all of it at a line on stdin, with as few descriptors as it has.
const [path] = process.argv.slice(2);
const log = await Log.open({
  path: path!,
  sync: 'group_commit',
  interval: 20,
  maxBytes: 64 * 1024 * 1024,
  segmentBytes: 2000,
  events: { recovered: () => {}, blocked: () => {}, unblocked: () => {} },
});
process.stdout.write(`opened ${process.pid}\n`);
process.stdin.once('data', () => {
  const told = setInterval(() => process.stdout.write(`blocked ${log.blocked ?? 'no'}\n`), 20);
  void (async () => {
    const reader = log.reader(1);
    let count = 0;
    while ((await reader.next()) !== undefined) count++;
    await reader.close();
    clearInterval(told);
    process.stdout.write(`read ${count}, blocked ${log.blocked ?? 'no'}\n`);
    await log.close();
    process.exit(0);
  })();
});
