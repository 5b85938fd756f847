import type { Endpoint, Listeners, UpgradeEndpoint } from '../component/listeners.ts';
import type { SessionDirectory } from '../component/sessions.ts';
import type { SharedListeners } from '../control/listeners.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { forgetStream } from '../telemetry/metrics.ts';
import { RepeatedLines } from '../telemetry/repeated-lines.ts';
import { createSecretKeeper, type SecretKeeper } from '../telemetry/secrets.ts';
import type { Directory } from '../websocket/session-directory.ts';

/** Shared by all streams of a process. */
export interface Shared {
  readonly listeners: SharedListeners;
  readonly sessions: Directory;
  readonly metrics: Metrics;
}

/** One stream's part of the shared objects: the stream registers there through its scope, and leaves no trace. */
export class StreamScope {
  readonly listeners: Listeners;
  readonly sessions: SessionDirectory;
  readonly lines = new RepeatedLines();
  readonly #id: string;
  readonly #shared: Shared;
  readonly #endpoints = new Set<Endpoint>();
  readonly #undo: (() => void)[] = [];
  readonly #secrets: { release(): void }[] = [];

  /** `replaced` is the scope of the stream that ends before this one begins: its paths are free for this one. */
  constructor(id: string, shared: Shared, replaced?: StreamScope) {
    this.#id = id;
    this.#shared = shared;
    const { listeners, sessions } = shared;
    this.listeners = {
      reserve: (options) => {
        this.#undo.push(listeners.reserve(options, this, replaced));
      },
      upgrade: async (options): Promise<UpgradeEndpoint> => this.#held(await listeners.upgrade(options)),
      http: async (options): Promise<Endpoint> => this.#held(await listeners.http(options)),
    };
    this.sessions = {
      declare: (path) => void this.#undo.push(sessions.declare(path)),
      attach: (path) => void this.#undo.push(sessions.attach(path)),
      watch: (path, watcher) => {
        const unwatch = sessions.watch(path, watcher);
        this.#undo.push(unwatch);
        return unwatch;
      },
      get paths() {
        return sessions.paths;
      },
      add: (path, session) => sessions.add(path, session),
      remove: (path, session) => sessions.remove(path, session),
      get: (id) => sessions.get(id),
      attached: (path) => sessions.attached(path),
    };
  }

  /** A component of the stream has a metric of its own. */
  usesMetric(name: string): void {
    this.#shared.metrics.names.use(name, this);
  }

  /** A secret keeper for a component of the stream. */
  secretKeeper(): SecretKeeper {
    const keeper = createSecretKeeper();
    this.#secrets.push(keeper);
    return keeper;
  }

  /** The stream has ended: its outputs no longer write to any session. */
  detach(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** Removes everything that the stream has registered. With `series: false` its metrics stay, for its successor. */
  async release({ series = true } = {}): Promise<void> {
    this.detach();
    this.lines.flush();
    this.#shared.metrics.names.release(this);
    await Promise.all([...this.#endpoints].map((endpoint) => endpoint.close()));
    for (const keeper of this.#secrets.splice(0)) keeper.release();
    if (series) await forgetStream(this.#shared.metrics, this.#id);
  }

  #held<E extends Endpoint>(endpoint: E): E {
    const held: E = {
      ...endpoint,
      close: async () => {
        this.#endpoints.delete(held);
        await endpoint.close();
      },
    };
    this.#endpoints.add(held);
    return held;
  }
}
