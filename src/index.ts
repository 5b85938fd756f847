/** Millrace as a library: run an engine, define a component. */

export type {
  ComponentConfig,
  Context,
  Destination,
  Durability,
  Environment,
  Opened,
  Source,
  State,
  StreamFacts,
  Transform,
} from './component/context.ts';
export type {
  Buffer,
  Codec,
  Input,
  Keep,
  Output,
  ProcessCall,
  Processor,
  Reject,
  WriteCall,
} from './component/contracts.ts';
export type { Backoff } from './component/backoff.ts';
export type { Definition, Kind } from './component/define.ts';
export {
  defineBuffer,
  defineCodec,
  defineFraming,
  defineInput,
  defineOutput,
  defineProcessor,
} from './component/define.ts';
export type { FrameDecoder, Framing } from './component/framing/framing.ts';
export { Unframed } from './component/framing/framing.ts';
export { RecordDecoder } from './component/framing/records.ts';
export { duration, secret, size } from './component/fields.ts';
export type { Listeners } from './component/listeners.ts';
export type { OpenSession, SessionDirectory } from './component/sessions.ts';
export type { TemplateNames, TemplateValues } from './component/template.ts';
export { Template, template } from './component/template.ts';
export { Inbox } from './component/inbox.ts';
export { Registry } from './component/registry.ts';
export type { Settings } from './component/settings.ts';
export { alias, givenOf, settings } from './component/settings.ts';
export { components, registry } from './components/index.ts';
export type { ConfigFormat, LoadedConfig, LoadOptions, ParseOptions } from './config/load.ts';
export { loadConfig, parseConfig } from './config/load.ts';
export type { Problem } from './config/problem.ts';
export { ConfigError } from './config/problem.ts';
export { configJsonSchema } from './config/json-schema.ts';
export { errorCodes } from './cli/error-codes.ts';
export type { DeclaredError, Rejection } from './errors.ts';
export {
  baseErrors,
  declareErrors,
  EndOfInputError,
  MessagesRefusedError,
  MillraceError,
  NotConnectedError,
} from './errors.ts';
export type { Content, Format, Metadata, Origin, Run } from './message/batch.ts';
export { Batch, concatBatches, nowMicros } from './message/batch.ts';
export type { Delivery, InputDelivery } from './message/delivery.ts';
export { joinDeliveries } from './message/delivery.ts';
export type { RowValue } from './message/row-values.ts';
export { valueReader } from './message/row-values.ts';
export type { ColumnType, RowColumn, Rows, Values } from './message/rows.ts';
export { concatRows, selectRows } from './message/rows.ts';
export type { Receipt, ReceiptEvents } from './message/receipt.ts';
export { createReceipt, noReceipt, relayReceipt } from './message/receipt.ts';
export { Engine } from './runtime/engine.ts';
export type { PrepareProblem } from './runtime/member.ts';
export type { Sample, Tap, TapOptions, TapStage } from './runtime/tap.ts';
export type { EnginePlan, StreamPlan } from './runtime/plan.ts';
export type { Logger, LoggingConfig } from './telemetry/logger.ts';
export { createLogger } from './telemetry/logger.ts';
export type {
  ComponentMetrics,
  LabelValues,
  MetricOptions,
  OwnCounter,
  OwnGauge,
  OwnHistogram,
} from './telemetry/component-metrics.ts';
export type { SecretKeeper } from './telemetry/secrets.ts';

/** The zod that schemas of components are written in; another copy's schemas are not the same. */
export { z } from 'zod';
