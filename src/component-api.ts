/**
 * Everything that a component is made of: `millrace/component`. `millrace` has all of this as well, with the engine.
 */

export type { Backoff } from './component/backoff.ts';
export { backoffDelay, isStable, retryDelay } from './component/backoff.ts';
export type { BudgetLimits } from './component/budget.ts';
export { Budget } from './component/budget.ts';
export type {
  Checkpoints,
  ComponentConfig,
  Context,
  Destination,
  DestinationCall,
  Durability,
  Environment,
  KeptState,
  Opened,
  Source,
  State,
  StreamFacts,
  Transform,
} from './component/context.ts';
export type {
  Codec,
  Input,
  Keep,
  Output,
  ProcessCall,
  Processor,
  Reject,
  WriteCall,
  WriteOrder,
  WriteResult,
} from './component/contracts.ts';
export type { Definition, Kind, OutputDefinition } from './component/define.ts';
export {
  defineBuffer,
  defineCodec,
  defineFraming,
  defineInput,
  defineOutput,
  defineProcessor,
} from './component/define.ts';
export {
  backoffOf,
  clientTls,
  duration,
  fixedPath,
  secret,
  size,
  timeZone,
  TIME_CONVERSION,
} from './component/fields.ts';
export type { FileCompression } from './component/framing/compression.ts';
export { fileCompressionNames, fileCompressions } from './component/framing/compression.ts';
export type { Apart, Frames } from './component/framing/framer.ts';
export { Framer, framesOf, messagesOf } from './component/framing/framer.ts';
export type { FrameDecoder, Framing } from './component/framing/framing.ts';
export { Unframed } from './component/framing/framing.ts';
export { openFramer, openUnframer } from './component/framing/open-framing.ts';
export { Pending } from './component/framing/pending.ts';
export { framingError, framingErrors, RecordDecoder, tooLong } from './component/framing/records.ts';
export { Unframer } from './component/framing/unframer.ts';
export { KeptDeliveries } from './delivery/kept-deliveries.ts';
export type { StateBudget } from './component/state-budget.ts';
export { inField } from './component/in-field.ts';
export { Inbox } from './component/inbox.ts';
export type { Branch } from './component/inner-outputs.ts';
export { Branches, GaveUpError } from './component/inner-outputs.ts';
export { JoinedSources } from './component/joined-sources.ts';
export type { Listeners } from './component/listeners.ts';
export { messageId } from './component/message-id.ts';
export { maskUrl, maskUrlAsWritten, urlKey } from './component/mask.ts';
export type { FilledUrl, FilledUrls } from './component/mask.ts';
export { MessageTemplate, messageValues } from './component/message-template.ts';
export { checkJsonPaths, checkMessageText, MessageText, messageNames } from './component/message-text.ts';
export type { PayloadProblem } from './component/payloads.ts';
export {
  checkJson,
  checkText,
  convertEach,
  encodeAsJson,
  jsonProblem,
  keepFields,
} from './component/payloads.ts';
export type {
  OpenSession,
  Outgoing,
  SessionDirectory,
  SessionWatcher,
  SlowConsumer,
} from './component/sessions.ts';
export type { Fail, Filled, Given, Settings } from './component/settings.ts';
export { alias, givenOf, settings } from './component/settings.ts';
export type { TemplateNames, TemplateValues } from './component/template.ts';
export { checkTemplate, template, Template } from './component/template.ts';
export { abortable, Waker } from './component/waker.ts';
export type { DeclaredError, Rejection } from './errors.ts';
export {
  baseErrors,
  declareErrors,
  EndOfInputError,
  errorMessage,
  MillraceError,
  NotConnectedError,
  printable,
} from './errors.ts';
export { makeFolders, syncFolder } from './folders.ts';
export type { Content, Format, Metadata, Origin, Run } from './message/batch.ts';
export { Batch, concatBatches, nowMicros } from './message/batch.ts';
export type { Delivery, InputDelivery } from './message/delivery.ts';
export { joinDeliveries } from './message/delivery.ts';
export type { JsonPath } from './message/json-path.ts';
export { jsonAt, jsonPath, parseJsonPath, textAt } from './message/json-path.ts';
export { prettyJson } from './message/json-pretty.ts';
export { describeJsonError, findJsonError } from './message/json-validate.ts';
export type { JsonMember } from './message/json.ts';
export { eachMember, joinJsonArray, jsonMembers } from './message/json.ts';
export { asLine } from './message/lines.ts';
export type { Ext, MetaColumn, MetaColumns, MetaName, MetaValue } from './message/metadata.ts';
export { extName, metaText, NO_OFFSET } from './message/metadata.ts';
export type { LogEntries, Receipt, ReceiptEvents } from './message/receipt.ts';
export { createReceipt, noReceipt, relayReceipt } from './message/receipt.ts';
export type { RowValue } from './message/row-values.ts';
export { valueReader } from './message/row-values.ts';
export type { ColumnType, RowColumn, Rows, Values } from './message/rows.ts';
export { concatRows, selectRows } from './message/rows.ts';
export { textOf, unquote } from './message/text.ts';
export type {
  ComponentMetrics,
  LabelValues,
  MetricOptions,
  OwnCounter,
  OwnGauge,
  OwnHistogram,
} from './telemetry/component-metrics.ts';
export type { ComponentEvents } from './telemetry/events.ts';
export type { Logger, LoggingConfig } from './telemetry/logger.ts';
export { createLogger } from './telemetry/logger.ts';
export type { SecretKeeper } from './telemetry/secrets.ts';

/** The zod for the schemas of components; schemas from another copy do not work. */
export { z } from 'zod';
