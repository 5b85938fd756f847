import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { LatencyHistogram } from './latency-histogram.ts';
import { version } from './version.ts';

/** What a stream can be doing; one at a time. */
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
    'Time from the arrival of a message to the confirmation by the output of what came of it.',
  );
  registry.registerMetric(latency.metric());
  const queries = new LatencyHistogram(
    'millrace_sql_query_seconds',
    'Time that a batch kept one of the threads of SQL, with what looking for messages that make the query fail takes.',
  );
  registry.registerMetric(queries.metric());
  const buildInfo = gauge('millrace_build_info', '1, with the versions of Millrace and of Node.js.', [
    'version',
    'node',
  ]);
  buildInfo.labels({ version: version(), node: process.versions.node }).set(1);
  return {
    registry,
    latency,
    streamState: gauge(
      'millrace_stream_state',
      '1 for the state that the stream is in (starting, running, draining, ended or failed), 0 for the others.',
      ['stream', 'state'],
    ),
    streamReady: gauge(
      'millrace_stream_ready',
      '1 while readiness has no reason against the stream, else 0.',
      ['stream'],
    ),
    queries,
    queriesRunning: gauge('millrace_sql_queries_running', 'Batches on which SQL runs now.', ['stream']),
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
    errors: counter('millrace_errors_total', 'Errors, each attempt that failed and each message rejected.', [
      'stream',
      'stage',
      'code',
    ]),
    connectionsOpen: gauge('millrace_connections_open', 'Connections that are open now.', [
      'stream',
      'stage',
    ]),
    connectionsAllowed: gauge(
      'millrace_connections_allowed',
      'Connections that all listeners of the process together may hold, as its limit of open files has it; 0 where that is not known.',
      [],
    ),
    connectionsOpened: counter('millrace_connections_opened_total', 'Connections opened.', [
      'stream',
      'stage',
    ]),
    connectionsClosed: counter(
      'millrace_connections_closed_total',
      'Connections closed, by close code; those that peers choose are counted together, as `3000-3999` and `4000-4999`.',
      ['stream', 'stage', 'code'],
    ),
    connectionsRefused: counter(
      'millrace_connections_refused_total',
      'Requests that were refused before a connection opened, by HTTP status, or `tls` where there was none. Where a port is shared, those to a wrong path have no stream.',
      ['stream', 'stage', 'status'],
    ),
    messagesDropped: counter(
      'millrace_messages_dropped_total',
      'Messages dropped on purpose. By an output: nobody to send them to (nobody), no value for what they are matched by (no_value), or a session that does not take them (slow_consumer), once for each session. By an input: those that `dedupe` has passed on before (duplicate).',
      ['stream', 'stage', 'reason'],
    ),
    acksSent: counter(
      'millrace_acks_sent_total',
      'Replies of `ack` sent, those to rejected messages included.',
      ['stream', 'stage'],
    ),
    acksImpossible: counter(
      'millrace_acks_without_id_total',
      'Messages that got no reply of `ack` because they have no id.',
      ['stream', 'stage'],
    ),
    reconnects: counter('millrace_reconnects_total', 'Attempts to connect again.', ['stream', 'stage']),
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
      'Batches in the log of `durability` that are not delivered yet.',
      ['stream'],
    ),
    logBytes: gauge('millrace_log_bytes', 'Bytes of the log of `durability` on disk.', ['stream']),
    logBlocked: gauge('millrace_log_blocked', '1 while the log is full, or its disk; the input waits.', [
      'stream',
    ]),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;

/** Takes out every series of a stream that is no more. */
export async function forgetStream(metrics: Metrics, stream: string): Promise<void> {
  metrics.latency.forget(stream);
  metrics.queries.forget(stream);
  for (const metric of metrics.registry.getMetricsAsArray()) {
    if (!(metric instanceof Counter || metric instanceof Gauge || metric instanceof Histogram)) continue;
    const { values } = await metric.get();
    for (const { labels } of values) {
      if (labels['stream'] !== stream) continue;
      // Each bucket of a histogram has its own; they go together.
      const { le: _, ...series } = labels as Record<string, string | number>;
      metric.remove(series);
    }
  }
}
