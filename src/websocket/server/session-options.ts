import type { ComponentEvents } from '../../telemetry/events.ts';
import type { SessionsOptions } from '../sessions.ts';
import type { Limits, ServerConfig } from './server-schema.ts';
import type { Rate } from './rate-limit.ts';
import { compileWelcome } from './welcome.ts';

/** The options of each session that follow from a server's settings. */
export function sessionOptions(
  config: ServerConfig,
  events: ComponentEvents,
): Pick<
  SessionsOptions,
  'pingInterval' | 'pingTimeout' | 'share' | 'rate' | 'idleTimeout' | 'outgoingLimit' | 'welcome'
> {
  const { limits } = config;
  return {
    pingInterval: config.ping_interval,
    pingTimeout: config.ping_timeout,
    share: limits.in_flight_share,
    rate: rateOf(limits),
    idleTimeout: limits.idle_timeout,
    outgoingLimit: limits.outgoing_bytes,
    welcome: compileWelcome(config.welcome, events),
  };
}

function rateOf(limits: Limits): Rate | undefined {
  const { messages_per_second: messages, bytes_per_second: bytes } = limits;
  const { over_rate: over, rate_per: per } = limits;
  return messages === undefined && bytes === undefined ? undefined : { messages, bytes, over, per };
}
