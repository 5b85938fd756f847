import { listenErrors } from '../component/listeners.ts';
import { fastify, type FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { parseAddress } from '../component/address.ts';
import { HostPolicy, isFromHere } from '../component/host-policy.ts';
import type { Endpoint, Listeners } from '../component/listeners.ts';
import { MillraceError } from '../errors.ts';
import { maskSecrets } from '../telemetry/secrets.ts';
import type { StreamHealth } from './health.ts';

export interface HealthOptions {
  readonly listeners: Pick<Listeners, 'http'>;
  readonly plan: {
    /** `host:port`; IPv6 hosts in brackets. */
    readonly address: string;
    /** Host names that requests may ask for; by default, those that are safe from pages of other sites. */
    readonly allowed_hosts?: readonly string[] | undefined;
    readonly health_path: string;
    readonly readiness_path: string;
    readonly liveness_path: string;
    readonly metrics_path: string;
  };
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
  const app = createApp(plan, health, metrics);
  await app.ready();
  const claim = { host: address.host, port: address.port, paths };
  const endpoint = await listeners
    .http({ ...claim, handler: (request, response) => app.routing(request, response) })
    .catch(async (error: unknown) => {
      await app.close();
      throw error;
    });
  return {
    port: endpoint.port,
    close: async () => {
      await endpoint.close();
      await app.close();
    },
  };
}

function createApp(
  plan: HealthOptions['plan'],
  health: HealthOptions['health'],
  metrics: Registry,
): FastifyInstance {
  const app = fastify({ logger: false, exposeHeadRoutes: true });
  const hosts = new HostPolicy(plan.allowed_hosts);
  // Checked before the body would be read, because nothing here takes one.
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store');
    const { host } = request.headers;
    if ((hosts.given || isFromHere(request.raw)) && !hosts.allows(host)) {
      const error =
        'this host is not allowed; use localhost or an address, or list it in health_check.allowed_hosts';
      await reply.code(403).send({ error });
      return;
    }
    if (request.method === 'GET' || request.method === 'HEAD') return;
    await reply.code(405).header('allow', 'GET, HEAD').send({ error: `only GET and HEAD are answered here` });
  });

  app.get(route(plan.health_path), (_, reply) => {
    const streams = health();
    const status = overall(streams);
    reply.code(status === 'failed' ? 503 : 200);
    return { status, streams: streams.map(({ id, state, reasons }) => ({ id, state, reasons })) };
  });

  app.get(route(plan.readiness_path), (_, reply) => {
    const streams = health();
    const ready = streams.every((each) => each.ready);
    reply.code(ready ? 200 : 503);
    return { status: ready ? 'ready' : 'not_ready', streams };
  });

  app.get(route(plan.liveness_path), () => ({ status: 'alive' }));

  app.get(route(plan.metrics_path), async (_, reply) => {
    // Reading the streams' state updates their gauges.
    health();
    reply.header('content-type', metrics.contentType);
    return await metrics.metrics();
  });
  return app;
}

/** `failed` needs a person; a `degraded` stream retries until it works, or waits. */
function overall(streams: readonly StreamHealth[]): 'ok' | 'degraded' | 'failed' {
  if (streams.some(({ state }) => state === 'failed')) return 'failed';
  return streams.some(({ state, ready }) => state === 'running' && !ready) ? 'degraded' : 'ok';
}

/** A path for fastify's router, in which a colon would begin a parameter. */
function route(path: string): string {
  return path.replaceAll(':', '::');
}
