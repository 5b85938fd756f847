/**
 * Test files that a worker runs with imports of their own, because they look at the memory, the limits or the clock of
 * their process, or need most of a machine. All others leave nothing behind in their process, and share what their
 * worker has imported; `test/support/setup.ts` cleans up between them.
 */
export const apartFiles = [
  'config/endless-files',
  'delivery/log/crash',
  'delivery/log/files',
  'delivery/log/full-disk',
  'delivery/*-memory',
  'package/*',
  'sql/limits',
  'websocket/backpressure',
  'websocket/hostile-memory',
].map((name) => `test/${name}.test.ts`);
