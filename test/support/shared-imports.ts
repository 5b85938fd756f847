const folders = [
  'architecture',
  'component',
  'config',
  'control',
  'delivery',
  'docs',
  'framing',
  'message',
  'sql',
  'telemetry',
  'websocket',
];

/** Files in them that look at the memory, the limits or the clock of their process, or need most of a machine. */
const apart = [
  'backpressure',
  '*-compression',
  'crash',
  'endless-files',
  'files',
  'foreign-*',
  'full-disk',
  'heartbeat',
  'hostile-*',
  'limits',
  '*-memory',
  'server-jwt',
  '*-threads',
  'webpubsub-frames',
  'webpubsub-strangers',
];

/**
 * Test files that leave nothing behind in their process: those that a worker runs share what they have imported.
 * `test/support/setup.ts` cleans up between them.
 */
export const sharedFiles = folders.map((folder) => `test/${folder}/**/!(${apart.join('|')}).test.ts`);
