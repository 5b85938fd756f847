import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { MetricNames } from './component-metrics.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import { version } from './version.ts';

/** The states of a stream; one at a time. */
export const streamStates = ['starting', 'running', 'draining', 'ended', 'failed'] as const;

export type StreamState = (typeof streamStates)[number];

/** Everything that `/metrics` shows: one set for each engine. */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name, help, labelNames: [...labelNames], registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> =>
    new Gauge({ name, help, labelNames: [...labelNames], registers });
  const latency = new LatencyHistogram(
    'millrace_latency_seconds',
    'Time from the arrival of a message to the output’s confirmation of its results.',
  );
  registry.registerMetric(latency.metric());
  const buildInfo = gauge('millrace_build_info', '1, with the versions of Millrace and of Node.js.', [
    'version',
    'node',
  ]);
  buildInfo.labels({ version: version(), node: process.versions.node }).set(1);
  return {
    registry,
    names: new MetricNames(registry),
    latency,
    streamState: gauge(
      'millrace_stream_state',
      '1 for the current state of the stream (starting, running, draining, ended or failed), 0 for the others.',
      ['stream', 'state'],
    ),
    streamReady: gauge(
      'millrace_stream_ready',
      '1 while readiness gives no reason against the stream, otherwise 0.',
      ['stream'],
    ),
    inputMessages: counter('millrace_input_messages_total', 'Messages received by the input.', ['stream']),
    inputBytes: counter('millrace_input_bytes_total', 'Bytes of payload received by the input.', ['stream']),
    inputBatches: counter('millrace_input_batches_total', 'Batches read from the input.', ['stream']),
    outputMessages: counter('millrace_output_messages_total', 'Messages confirmed by the output.', [
      'stream',
    ]),
    outputBytes: counter('millrace_output_bytes_total', 'Bytes of payload confirmed by the output.', [
      'stream',
    ]),
    outputBatches: counter('millrace_output_batches_total', 'Batches confirmed by the output.', ['stream']),
    deadLetters: counter('millrace_dead_letters_total', 'Messages rejected.', ['stream', 'stage', 'code']),
    errors: counter('millrace_errors_total', 'Errors: failed attempts and rejected messages.', [
      'stream',
      'stage',
      'code',
    ]),
    connectionsOpen: gauge('millrace_connections_open', 'Open connections.', ['stream', 'stage']),
    connectionsAllowed: gauge(
      'millrace_connections_allowed',
      'Connections that all listeners of the process together may hold, from its limit of open files; 0 if that is not known.',
      [],
    ),
    connectionsOpened: counter('millrace_connections_opened_total', 'Connections opened.', [
      'stream',
      'stage',
    ]),
    connectionsClosed: counter(
      'millrace_connections_closed_total',
      'Connections closed, by close code. Codes that peers choose are counted together, as `3000-3999` and `4000-4999`.',
      ['stream', 'stage', 'code'],
    ),
    connectionsRefused: counter(
      'millrace_connections_refused_total',
      'Requests that were refused before a connection opened, by HTTP status, or `tls` if there was none. If a port is shared, requests to a wrong path have no stream.',
      ['stream', 'stage', 'status'],
    ),
    messagesDropped: counter(
      'millrace_messages_dropped_total',
      'Messages dropped on purpose. By an output: there is nobody to send them to (nobody), they have no value to match (no_value), a session does not keep up (slow_consumer), counted once for each session, the queue of an output is full (queue_full), or no case of `switch` is for them (no_match). By an input: `dedupe` has already passed them on (duplicate).',
      ['stream', 'stage', 'reason'],
    ),
    acksSent: counter(
      'millrace_acks_sent_total',
      'Replies of `ack` sent, including those to rejected messages.',
      ['stream', 'stage'],
    ),
    acksImpossible: counter(
      'millrace_acks_without_id_total',
      'Messages that got no `ack` reply because they have no id.',
      ['stream', 'stage'],
    ),
    reconnects: counter('millrace_reconnects_total', 'Attempts to reconnect.', ['stream', 'stage']),
    inFlightMessages: gauge('millrace_in_flight_messages', 'Messages received and not yet confirmed.', [
      'stream',
    ]),
    inFlightBytes: gauge('millrace_in_flight_bytes', 'Bytes received and not yet confirmed.', ['stream']),
    stateMessages: gauge('millrace_state_messages', 'Messages that windows and buffers keep.', ['stream']),
    stateBytes: gauge('millrace_state_bytes', 'Bytes that windows and buffers keep, in memory and on disk.', [
      'stream',
      'where',
    ]),
    logEntries: gauge(
      'millrace_log_entries',
      'Batches in the log of `durability` that are not yet delivered.',
      ['stream'],
    ),
    logBytes: gauge('millrace_log_bytes', 'Bytes of the log of `durability` on disk.', ['stream']),
    logBlocked: gauge('millrace_log_blocked', '1 while the log is full, or its disk; the input waits.', [
      'stream',
    ]),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;

/** Removes every series of a stream that has ended. */
export async function forgetStream(metrics: Metrics, stream: string): Promise<void> {
  metrics.latency.forget(stream);
  for (const metric of metrics.registry.getMetricsAsArray()) {
    if (!(metric instanceof Counter || metric instanceof Gauge || metric instanceof Histogram)) continue;
    const { values } = await metric.get();
    for (const { labels } of values) {
      if (labels['stream'] !== stream) continue;
      // Each bucket of a histogram is a series of its own; they go together.
      const { le: _, ...series } = labels as Record<string, string | number>;
      metric.remove(series);
    }
  }
}
