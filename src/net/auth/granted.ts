import type { ComponentEvents } from '../../telemetry/events.ts';
import { SecretFile } from './secret-file.ts';
import { unknown, type Verdict } from './authenticator.ts';
import { SecretTable, type Grant } from './secret-table.ts';

/** The accepted secrets of the configuration and of a file, together. */
export class Granted {
  readonly #fixed: SecretTable;
  readonly #file: SecretFile<SecretTable> | undefined;

  /** `parse` reads the file, given the secrets of the configuration. */
  constructor(
    grants: readonly Grant[],
    path: string | undefined,
    parse: (text: string, others: readonly Grant[]) => Grant[],
    events: ComponentEvents,
  ) {
    this.#fixed = new SecretTable(grants);
    if (path === undefined) return;
    this.#file = new SecretFile(path, (text) => new SecretTable([...grants, ...parse(text, grants)]), events);
  }

  async open(): Promise<void> {
    await this.#file?.open();
  }

  close(): void {
    this.#file?.close();
  }

  /** The verdict on a secret; pass undefined when the client has shown none. */
  verdict(secret: string | Uint8Array | undefined): Verdict {
    if (secret === undefined) return unknown('no credentials', false);
    const found = (this.#file?.value ?? this.#fixed).find(secret);
    return found === undefined ? unknown('wrong credentials') : { outcome: 'known', ...found };
  }
}
