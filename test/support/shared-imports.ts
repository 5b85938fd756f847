const folders = ['architecture', 'component', 'config', 'delivery', 'docs', 'message', 'sql', 'telemetry'];

/** Files in them that start engines or programs after all. */
const apart = ['aliases', 'message-text', 'durations', 'endless-files', 'crash', 'files', 'full-disk'];

/**
 * Test files that start nothing and leave nothing behind: those that a worker runs share what they have imported.
 * `test/architecture/shared-imports.test.ts` says which may not be among them.
 */
export const sharedFiles = folders.map((folder) => `test/${folder}/**/!(${apart.join('|')}).test.ts`);
