import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { parseAddress } from '../component/address.ts';
import { HostPolicy, isFromHere } from '../component/host-policy.ts';
import { listenErrors, type Endpoint, type Listeners } from '../component/listeners.ts';
import { pathOf } from '../component/requests.ts';
import { errorMessage, MillraceError } from '../errors.ts';
import { maskSecrets } from '../telemetry/secrets.ts';
import type { StreamHealth } from './health.ts';

/** Where health is served. */
export interface HealthPlan {
  /** `host:port`; IPv6 hosts in brackets. */
  readonly address: string;
  /** Host names that requests may ask for; by default, those that are safe from pages of other sites. */
  readonly allowed_hosts?: readonly string[] | undefined;
  readonly health_path: string;
  readonly readiness_path: string;
  readonly liveness_path: string;
  readonly metrics_path: string;
}

export interface HealthOptions {
  readonly listeners: Pick<Listeners, 'http'>;
  readonly plan: HealthPlan;
  readonly health: () => readonly StreamHealth[];
  readonly metrics: Registry;
}

/**
 * Answers the probes of an orchestrator and of Prometheus, until the endpoint is closed.
 * @throws MillraceError MILLRACE_LISTEN_FAILED, MILLRACE_LISTEN_CONFLICT; fatal, unless another program has the address
 */
export async function serveHealth({
  listeners,
  plan,
  metrics,
  ...options
}: HealthOptions): Promise<Endpoint> {
  const health = (): StreamHealth[] =>
    options.health().map((each) => ({ ...each, reasons: each.reasons.map(maskSecrets) }));
  const address = parseAddress(plan.address);
  if (address === undefined) {
    throw new MillraceError(
      listenErrors.MILLRACE_LISTEN_FAILED,
      `health_check.address: "${plan.address}" is not an address; expected host:port, like 127.0.0.1:4747`,
      { fatal: true },
    );
  }
  const paths = [plan.health_path, plan.readiness_path, plan.liveness_path, plan.metrics_path];
  if (new Set(paths).size < paths.length) {
    throw new MillraceError(
      listenErrors.MILLRACE_LISTEN_CONFLICT,
      `health_check: two of its paths are the same (${paths.join(', ')}); give each its own path`,
      { fatal: true },
    );
  }
  return await listeners.http({
    host: address.host,
    port: address.port,
    paths,
    handler: answering(plan, health, metrics),
  });
}

interface Answer {
  readonly status: number;
  /** Sent as JSON, unless it is text. */
  readonly body: object | string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** For a path with a segment like `:name`, which the listener compares as a pattern, and which is meant literally here. */
const notHere = (): Answer => ({ status: 404, body: { error: 'nothing is served at this path' } });

function answering(
  plan: HealthOptions['plan'],
  health: HealthOptions['health'],
  metrics: Registry,
): (request: IncomingMessage, response: ServerResponse) => void {
  const hosts = new HostPolicy(plan.allowed_hosts);
  const pages = new Map<string, () => Answer | Promise<Answer>>([
    [
      plan.health_path,
      () => {
        const streams = health();
        const status = overall(streams);
        const told = streams.map(({ id, state, reasons }) => ({ id, state, reasons }));
        return { status: status === 'failed' ? 503 : 200, body: { status, streams: told } };
      },
    ],
    [
      plan.readiness_path,
      () => {
        const streams = health();
        const ready = streams.every((each) => each.ready);
        return { status: ready ? 200 : 503, body: { status: ready ? 'ready' : 'not_ready', streams } };
      },
    ],
    [plan.liveness_path, () => ({ status: 200, body: { status: 'alive' } })],
    [
      plan.metrics_path,
      async () => {
        // Reading the streams' state updates their gauges.
        health();
        const headers = { 'content-type': metrics.contentType };
        return { status: 200, body: await metrics.metrics(), headers };
      },
    ],
  ]);
  const refusal = (request: IncomingMessage): Answer | undefined => {
    if ((hosts.given || isFromHere(request)) && !hosts.allows(request.headers.host)) {
      const error =
        'this host is not allowed; use localhost or an address, or list it in health_check.allowed_hosts';
      return { status: 403, body: { error } };
    }
    if (request.method === 'GET' || request.method === 'HEAD') return undefined;
    const error = 'only GET and HEAD are answered here';
    return { status: 405, body: { error }, headers: { allow: 'GET, HEAD' } };
  };
  const respond = async (request: IncomingMessage): Promise<Answer> => {
    try {
      return refusal(request) ?? (await (pages.get(pathOf(request)) ?? notHere)());
    } catch (error) {
      return { status: 500, body: { error: maskSecrets(errorMessage(error)) } };
    }
  };
  return (request, response) => {
    void respond(request).then(({ status, body, headers }) => {
      const [type, text] =
        typeof body === 'string' ? ['text/plain', body] : ['application/json', JSON.stringify(body)];
      response.writeHead(status, {
        'cache-control': 'no-store',
        'content-type': `${type}; charset=utf-8`,
        'content-length': Buffer.byteLength(text),
        ...headers,
      });
      // To HEAD, Node sends no body.
      response.end(text);
    });
  };
}

/** `failed` needs a person; a `degraded` stream retries until it works, or waits. */
function overall(streams: readonly StreamHealth[]): 'ok' | 'degraded' | 'failed' {
  if (streams.some(({ state }) => state === 'failed')) return 'failed';
  return streams.some(({ state, ready }) => state === 'running' && !ready) ? 'degraded' : 'ok';
}
