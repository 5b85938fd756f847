import type { ComponentEvents } from '../../telemetry/events.ts';
import type { SessionsOptions } from '../sessions.ts';
import { limitsOf, type ServerConfig } from './fields.ts';
import type { Rate } from './rate-limit.ts';
import { compileWelcome } from './welcome.ts';

/** Of the stream's budget, unless the configuration says otherwise. */
const SHARE = 0.25;

/** What a server's settings say of each of its sessions. */
export function sessionOptions(
  config: ServerConfig,
  events: ComponentEvents,
): Pick<
  SessionsOptions,
  'pingInterval' | 'pingTimeout' | 'share' | 'rate' | 'idleTimeout' | 'outgoingLimit' | 'welcome'
> {
  const limits = limitsOf(config.limits);
  return {
    pingInterval: config.ping_interval,
    pingTimeout: config.ping_timeout,
    share: limits.in_flight_share ?? SHARE,
    rate: rateOf(limits),
    idleTimeout: limits.idle_timeout,
    outgoingLimit: limits.outgoing_buffer,
    welcome: compileWelcome(config.welcome, events),
  };
}

function rateOf(limits: ReturnType<typeof limitsOf>): Rate | undefined {
  const { messages_per_second: messages, bytes_per_second: bytes } = limits;
  const { over_rate: over = 'pause', rate_per: per = 'connection' } = limits;
  return messages === undefined && bytes === undefined ? undefined : { messages, bytes, over, per };
}
