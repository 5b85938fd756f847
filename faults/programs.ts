import { fileURLToPath } from 'node:url';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** The programs that the campaign starts. Its tests replace them with others of the same source that start faster. */
export const programs = { engine: path('engine-entry.ts'), sink: path('sink-process.ts') };
