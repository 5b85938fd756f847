import type { TlsFiles } from '../component/fields.ts';
import type { ListenerTls, UpgradeEndpoint } from '../component/listeners.ts';
import { errorMessage } from '../errors.ts';
import type { ComponentEvents } from '../telemetry/events.ts';
import { loadTls } from './tls.ts';
import { fileStamp } from './auth/file-stamp.ts';

/** How often the files are checked, in milliseconds. Watching them would miss some ways of replacing a file. */
const INTERVAL = 2_000;

/**
 * Makes a listener use certificates that have changed on disk. Files that cannot be read or used (half written, a key
 * that does not match the certificate) change nothing; they are tried again when one of them changes.
 */
export class TlsReload {
  readonly #files: TlsFiles;
  readonly #endpoint: UpgradeEndpoint;
  readonly #events: ComponentEvents;
  readonly #timer: NodeJS.Timeout;
  #seen: string;
  #looking = false;
  #stopped = false;

  /** `seen` is the result of `versions` from before the files were loaded. */
  constructor(files: TlsFiles, seen: string, endpoint: UpgradeEndpoint, events: ComponentEvents) {
    this.#files = files;
    this.#seen = seen;
    this.#endpoint = endpoint;
    this.#events = events;
    this.#timer = setInterval(() => void this.#look(), INTERVAL);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    // Attempts must not pile up while the file system hangs.
    if (this.#looking) return;
    this.#looking = true;
    try {
      const now = await versions(this.#files);
      if (now === this.#seen) return;
      this.#seen = now;
      const tls = (await loadTls(this.#files)) as ListenerTls;
      if (!this.#stopped && this.#endpoint.renewTls(tls))
        this.#events.certificateReloaded(namesOf(this.#files));
    } catch (error) {
      if (!this.#stopped) this.#events.certificateKept(namesOf(this.#files), errorMessage(error));
    } finally {
      this.#looking = false;
    }
  }
}

/** Changes whenever one of the files does, whether written to or replaced. */
export async function versions(files: TlsFiles): Promise<string> {
  const each = namesOf(files).map((name) => fileStamp(name).catch(errorMessage));
  return (await Promise.all(each)).join('\n');
}

function namesOf(files: TlsFiles): string[] {
  return [files.cert_file, files.key_file, files.ca_file].filter((name) => name !== undefined);
}
