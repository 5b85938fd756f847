import { Registry } from '../component/registry.ts';
import { memoryBuffer } from './buffers/memory.ts';
import { tumblingWindowBuffer } from './buffers/tumbling-window.ts';
import { binaryCodec } from './codecs/binary.ts';
import { debeziumJsonCodec } from './codecs/debezium-json.ts';
import { jsonCodec } from './codecs/json.ts';
import { textCodec } from './codecs/text.ts';
import { delimiterFraming } from './framing/delimiter.ts';
import { jsonArrayFraming } from './framing/json-array.ts';
import { lengthDelimitedFraming } from './framing/length-delimited.ts';
import { linesFraming } from './framing/lines.ts';
import { noneFraming } from './framing/none.ts';
import { fileInput } from './inputs/file.ts';
import { generateInput } from './inputs/generate.ts';
import { memoryInput } from './inputs/memory.ts';
import { mqttInput } from './inputs/mqtt/mqtt.ts';
import { multipleInputsInput } from './inputs/multiple-inputs.ts';
import { natsInput } from './inputs/nats/nats.ts';
import { redisInput } from './inputs/redis/redis.ts';
import { postgresInput } from './inputs/postgres/postgres.ts';
import { websocketInput } from './inputs/websocket/websocket.ts';
import { dropOutput } from './outputs/drop.ts';
import { fallbackOutput } from './outputs/fallback.ts';
import { fanOutOutput } from './outputs/fan-out.ts';
import { fileOutput } from './outputs/file/file.ts';
import { httpOutput } from './outputs/http/http.ts';
import { kafkaOutput } from './outputs/kafka/kafka.ts';
import { mqttOutput } from './outputs/mqtt/mqtt.ts';
import { natsOutput } from './outputs/nats/nats.ts';
import { mysqlOutput } from './outputs/mysql/mysql.ts';
import { postgresOutput } from './outputs/postgres/postgres.ts';
import { redisOutput } from './outputs/redis/redis.ts';
import { stdoutOutput } from './outputs/stdout.ts';
import { switchOutput } from './outputs/switch/switch.ts';
import { websocketOutput } from './outputs/websocket/websocket.ts';
import { arrowToJsonProcessor } from './processors/arrow-to-json.ts';
import { batchProcessor } from './processors/batch.ts';
import { jsonToArrowProcessor } from './processors/json-to-arrow.ts';
import { sqlProcessor } from './processors/sql.ts';

/** Every component that comes with Millrace. */
export const components = [
  websocketInput,
  generateInput,
  memoryInput,
  fileInput,
  multipleInputsInput,
  mqttInput,
  natsInput,
  redisInput,
  postgresInput,
  memoryBuffer,
  tumblingWindowBuffer,
  sqlProcessor,
  batchProcessor,
  jsonToArrowProcessor,
  arrowToJsonProcessor,
  stdoutOutput,
  fileOutput,
  dropOutput,
  websocketOutput,
  natsOutput,
  kafkaOutput,
  mqttOutput,
  httpOutput,
  fanOutOutput,
  switchOutput,
  fallbackOutput,
  postgresOutput,
  mysqlOutput,
  redisOutput,
  noneFraming,
  linesFraming,
  delimiterFraming,
  jsonArrayFraming,
  lengthDelimitedFraming,
  jsonCodec,
  textCodec,
  debeziumJsonCodec,
  binaryCodec,
] as const;

/** The registry of the components that come with Millrace. */
export const registry = new Registry(components);
