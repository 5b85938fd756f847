import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fields, Peer } from '../../src/testing-api.ts';

/** A file of lines: one that is there, or one that an output makes. */
export class FilePeer implements Peer {
  readonly #content: string | undefined;
  #folder: string | undefined;

  constructor(content?: string) {
    this.#content = content;
  }

  start(): Fields {
    this.#folder = mkdtempSync(join(tmpdir(), 'millrace-file-'));
    if (this.#content !== undefined) writeFileSync(this.#path, this.#content);
    return { path: this.#path };
  }

  stop(): void {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
  }

  arrived(): readonly string[] {
    try {
      return readFileSync(this.#path, 'utf8').split('\n').slice(0, -1);
    } catch {
      // It is made with the first message.
      return [];
    }
  }

  get #path(): string {
    return join(this.#folder ?? '', 'messages.jsonl');
  }
}
