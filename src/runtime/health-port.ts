import { listenErrors } from '../component/listeners.ts';
import { formatAddress, parseAddress } from '../component/address.ts';
import { defaultBackoff } from '../component/backoff.ts';
import type { Endpoint } from '../component/listeners.ts';
import { MillraceError, errorMessage } from '../errors.ts';
import { serveHealth, type HealthOptions } from '../control/health-server.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { HealthCheckPlan } from './plan.ts';
import { Retry, pause } from './retry.ts';

/** Serves health, at once or as soon as its address is free. The streams do not wait for it. */
export class HealthPort {
  readonly #options: HealthOptions & { readonly plan: HealthCheckPlan };
  readonly #logger: Logger;
  readonly #closed = new AbortController();
  readonly #retry = new Retry(defaultBackoff);
  #endpoint: Endpoint | undefined;
  #retrying: Promise<void> | undefined;

  constructor(options: HealthOptions & { readonly plan: HealthCheckPlan }, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
  }

  /** Resolves when health is served, or is being retried. @throws MillraceError MILLRACE_LISTEN_FAILED (fatal) */
  async open(): Promise<void> {
    try {
      await this.#serve();
    } catch (error) {
      const delay = this.#retry.failed(error);
      this.#tell(error, delay);
      this.#retrying = this.#tryAgain(delay).catch((fatal: unknown) => {
        if (!this.#closed.signal.aborted)
          this.#logger.error({ code: 'MILLRACE_LISTEN_FAILED' }, errorMessage(fatal));
      });
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#retrying;
    await this.#endpoint?.close();
  }

  async #tryAgain(first: number): Promise<void> {
    let delay = first;
    while (this.#endpoint === undefined) {
      await pause(delay, this.#closed.signal);
      try {
        await this.#serve();
      } catch (error) {
        delay = this.#retry.failed(error);
        this.#tell(error, delay);
      }
    }
  }

  #tell(error: unknown, delay: number): void {
    this.#logger.warn(
      { code: 'MILLRACE_LISTEN_FAILED', retry_in_ms: Math.round(delay) },
      `no health and no metrics for now: ${errorMessage(error)}`,
    );
  }

  async #serve(): Promise<void> {
    const { plan } = this.#options;
    try {
      this.#endpoint = await serveHealth(this.#options);
    } catch (cause) {
      const fatal = !(cause instanceof MillraceError) || cause.fatal;
      const hint = `${fatal ? 'Set' : 'Another Millrace may use it; set'} health_check.address, or health_check: { enabled: false }`;
      const message = `health_check.address: ${errorMessage(cause)}. ${hint}`;
      throw new MillraceError(listenErrors.MILLRACE_LISTEN_FAILED, message, { cause, fatal });
    }
    const { host = '' } = parseAddress(plan.address) ?? {};
    this.#logger.info(`health on http://${formatAddress(host, this.#endpoint.port)}${plan.readiness_path}`);
  }
}
