import { aggregates, windows } from './aggregates.ts';
import { json } from './json.ts';
import { lists, structures } from './lists.ts';
import type { Subject } from './subject.ts';
import { bytes, patterns, texts } from './texts.ts';
import { times } from './times.ts';
import { conditions, hashes, math } from './values.ts';

/** Every function that DataFusion documents, and those of datafusion-functions-json. */
export const subjects: readonly Subject[] = [
  math,
  conditions,
  texts,
  bytes,
  patterns,
  times,
  lists,
  structures,
  json,
  hashes,
  aggregates,
  windows,
];
