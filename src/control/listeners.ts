import { listenErrors } from '../component/listeners.ts';
import type {
  Endpoint,
  HandshakeLimits,
  Listeners,
  ListenerTls,
  Refusal,
  UpgradeEndpoint,
  UpgradeHandler,
} from '../component/listeners.ts';
import { formatAddress } from '../component/address.ts';
import { MillraceError, errorMessage } from '../errors.ts';
import { Descriptors } from './descriptors.ts';
import {
  Listener,
  isSameTls,
  type HttpHandler,
  type ListenerTimeouts,
  type Route,
  type UnservedRequest,
} from './listener.ts';
import { Routes } from './routes.ts';

const defaultTimeouts: ListenerTimeouts = {
  headers: 10_000,
  request: 30_000,
  keepAlive: 5_000,
  checking: 1_000,
  grace: 2_000,
};

/** Advice for system errors, by code. */
const advice: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is in use (EADDRINUSE); stop the program that has it, or choose another port',
  EACCES: 'not permitted (EACCES); choose a port from 1024 up, or give the process the right to low ports',
  EADDRNOTAVAIL:
    'the address is not one of this machine’s (EADDRNOTAVAIL); use one that it has, or 0.0.0.0 for all of them',
  ENOTFOUND: 'the host is not known (ENOTFOUND); use an address of this machine, or 0.0.0.0 for all of them',
};

interface Claim {
  readonly host: string;
  readonly port: number;
  readonly tls?: ListenerTls | undefined;
  readonly handshake?: HandshakeLimits | undefined;
}

/** The process's HTTP servers, one for each host and port. A server lives from its first path to its last. */
export class SharedListeners implements Omit<Listeners, 'reserve'> {
  readonly #timeouts: ListenerTimeouts;
  readonly #onError: (error: unknown) => void;
  readonly #onRefused: (refusal: UnservedRequest) => void;
  readonly #onTlsFailed: (error: Error, remoteAddress: string | undefined) => void;
  readonly #onFull: (limits: { limit: number; allowed: number }) => void;
  readonly #descriptors = new Descriptors();
  /** Reserved paths, by address and owner. */
  readonly #reserved = new Map<string, Map<object, Routes<true>>>();
  readonly #listeners = new Map<string, { listener: Listener; listening: Promise<number> }>();

  /**
   * Timeouts are in milliseconds. `onError` is called for errors that no request caused; by default, they are logged as
   * warnings.
   */
  constructor(
    options: {
      timeouts?: Partial<ListenerTimeouts>;
      onError?: (error: unknown) => void;
      onRefused?: (refusal: UnservedRequest) => void;
      onTlsFailed?: (error: Error, remoteAddress: string | undefined) => void;
      onFull?: (limits: { limit: number; allowed: number }) => void;
    } = {},
  ) {
    this.#onRefused = options.onRefused ?? (() => {});
    this.#onFull = options.onFull ?? (() => {});
    this.#onTlsFailed = options.onTlsFailed ?? (() => {});
    this.#timeouts = { ...defaultTimeouts, ...options.timeouts };
    this.#onError = options.onError ?? ((error) => process.emitWarning(errorMessage(error)));
  }

  /** How many connections all listeners together may hold; Infinity if the limit of open files is not known. */
  get allowed(): number {
    this.#descriptors.count();
    return this.#descriptors.allowed;
  }

  /**
   * Like `Listeners.reserve`, for `owner`; paths of `replaced` count as free. @returns a function that frees the paths
   */
  reserve(
    { host, port, path }: { host: string; port: number; path: string },
    owner: object,
    replaced?: object,
  ): () => void {
    if (port === 0) return () => {};
    const address = formatAddress(host, port);
    const owners = this.#reserved.get(address) ?? new Map<object, Routes<true>>();
    for (const [other, routes] of owners) if (other !== replaced) refuseTaken(address, [path], routes);
    const own = owners.get(owner) ?? new Routes<true>();
    own.add(path, true);
    this.#reserved.set(address, owners.set(owner, own));
    return () => {
      own.delete(path);
      if (own.size === 0) owners.delete(owner);
      if (owners.size === 0) this.#reserved.delete(address);
    };
  }

  upgrade(
    options: Claim & {
      path: string;
      connections?: number | undefined;
      refused?: ((refusal: Refusal) => void) | undefined;
      handler: UpgradeHandler;
    },
  ): Promise<UpgradeEndpoint> {
    const { path, handler, refused, connections = Infinity } = options;
    return this.#claim(options, [path], { upgrade: handler, connections, refused });
  }

  http(
    options: Omit<Claim, 'tls' | 'handshake'> & { paths: readonly string[]; handler: HttpHandler },
  ): Promise<Endpoint> {
    return this.#claim(options, options.paths, { http: options.handler });
  }

  /** Takes the paths before it waits for anything, so that concurrent callers share one server. */
  async #claim(
    { host, port, tls, handshake }: Claim,
    paths: readonly string[],
    route: Route,
  ): Promise<UpgradeEndpoint> {
    const address = formatAddress(host, port);
    // Port 0 is a new port each time; its server is known by the port that it got.
    const known = port === 0 ? undefined : this.#listeners.get(address);
    refuseTaken(address, paths, known?.listener.routes);
    if (known !== undefined && !isSameTls(known.listener.tls, tls)) {
      throw conflict(
        `${address}, wanted for the path ${paths.join(', ')}, is shared with a component that has other TLS settings; ` +
          'give both the same, or each its own port',
      );
    }
    const agreed = known?.listener.handshake;
    if (agreed !== undefined && handshake !== undefined && !isSameHandshake(agreed, handshake)) {
      throw conflict(
        `${address}, wanted for the path ${paths.join(', ')}, is shared with a component that has another ` +
          'limits.handshake_timeout or limits.header_size; give both the same, or each its own port',
      );
    }
    const { listener, listening } = known ?? this.#open(host, port, tls, handshake);
    listener.addRoutes(paths, route, handshake);
    const actual = await listening;
    let open = true;
    return {
      port: actual,
      renewTls: (renewed) => listener.renewTls(renewed),
      close: () => {
        if (open) listener.deleteRoutes(paths);
        if (open && listener.routes.size === 0) {
          this.#listeners.delete(formatAddress(host, actual));
          listener.close();
        }
        open = false;
        return Promise.resolve();
      },
    };
  }

  #open(host: string, port: number, tls: ListenerTls | undefined, handshake: HandshakeLimits | undefined) {
    // Node fixes the TLS timeout when the server is made.
    const headers = handshake?.timeout ?? this.#timeouts.headers;
    const listener = new Listener({
      host,
      port,
      tls,
      descriptors: this.#descriptors,
      onFull: this.#onFull,
      timeouts: { ...this.#timeouts, headers, request: Math.max(this.#timeouts.request, headers) },
      onError: this.#onError,
      onRefused: this.#onRefused,
      onTlsFailed: this.#onTlsFailed,
    });
    const address = formatAddress(host, port);
    const entry = { listener, listening: listener.listen() };
    if (port !== 0) this.#listeners.set(address, entry);
    entry.listening = entry.listening.then(
      (actual) => {
        this.#listeners.set(formatAddress(host, actual), entry);
        return actual;
      },
      (cause: unknown) => {
        if (this.#listeners.get(address) === entry) this.#listeners.delete(address);
        listener.close();
        throw this.#listenFailed(address, port, cause);
      },
    );
    return entry;
  }

  #listenFailed(address: string, port: number, cause: unknown): MillraceError {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    const reason = advice[code] ?? errorMessage(cause);
    const own = [...this.#listeners.keys()].filter((each) => each.endsWith(`:${port}`) && port !== 0);
    const hint =
      code === 'EADDRINUSE' && own.length > 0
        ? `; this process itself listens on ${own.join(' and ')}, and with the same host the two would share the port`
        : '';
    // Another program may leave: a predecessor that is still draining certainly will.
    const fatal = code !== 'EADDRINUSE' || hint !== '';
    return new MillraceError(
      listenErrors.MILLRACE_LISTEN_FAILED,
      `cannot listen on ${address}: ${reason}${hint}`,
      {
        cause,
        fatal,
      },
    );
  }
}

function conflict(message: string): MillraceError {
  return new MillraceError(listenErrors.MILLRACE_LISTEN_CONFLICT, message, { fatal: true });
}

function isSameHandshake(a: HandshakeLimits, b: HandshakeLimits): boolean {
  return a.timeout === b.timeout && a.headerSize === b.headerSize;
}

/** @throws MillraceError MILLRACE_LISTEN_CONFLICT if one of `paths` is among `routes`, or occurs twice */
function refuseTaken(address: string, paths: readonly string[], routes: Routes<unknown> | undefined): void {
  for (const [index, path] of paths.entries()) {
    const taken = routes?.taken(path) ?? (paths.indexOf(path) === index ? undefined : path);
    if (taken === undefined) continue;
    const same = taken === path ? '' : `, as ${taken}, which takes the same requests`;
    throw conflict(
      `the path ${path} on ${address} is taken by another component${same}; give each its own path`,
    );
  }
}
