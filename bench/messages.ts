/** The filter of the SQL cases keeps warm readings. */
export const WARM_FROM = 25;
const MESSAGES = 10_000;
const SENSORS = 100;
const OP_TEXT = 0x81;
const OP_CLOSE = 0x88;
const OP_PONG = 0x8a;

/** The messages of a flood: readings of sensors, or objects in objects. */
export type Shape = 'flat' | 'nested';

export interface Chunk {
  /** Whole frames, masked. */
  readonly data: Buffer;
  readonly messages: number;
  readonly warm: number;
}

/** Frames of messages of `messageBytes` each, encoded once and cut into chunks for large writes. */
export function encodeChunks(messageBytes: number, shape: Shape = 'flat'): readonly Chunk[] {
  const chunks: Chunk[] = [];
  let frames: Buffer[] = [];
  let bytes = 0;
  let warm = 0;
  const cut = (): void => {
    if (frames.length > 0) chunks.push({ data: Buffer.concat(frames), messages: frames.length, warm });
    frames = [];
    bytes = 0;
    warm = 0;
  };
  for (let index = 0; index < Math.min(MESSAGES, (16 * 1024 * 1024) / messageBytes); index++) {
    const temperature = 10 + ((index * 7919) % 3000) / 100;
    const message =
      shape === 'flat' ? reading(index, temperature, messageBytes) : change(index, temperature, messageBytes);
    const frame = maskedFrame(message, index);
    frames.push(frame);
    bytes += frame.length;
    if (isWarm(temperature)) warm++;
    if (bytes >= 128 * 1024) cut();
  }
  cut();
  return chunks;
}

/** A reading of one of 100 sensors, as JSON of exactly `length` bytes. */
export function reading(index: number, temperature: number, length: number): Buffer {
  const sensor = String(index % SENSORS).padStart(3, '0');
  const humidity = (30 + ((index * 104_729) % 500) / 10).toFixed(1);
  return padded(
    `{"sensor":"s${sensor}","temperature":${temperature.toFixed(2)},"humidity":${humidity},"site":"`,
    length,
  );
}

/** A change of a record, as feeds of repositories have them; it is a creation where a reading would be warm. */
function change(index: number, temperature: number, length: number): Buffer {
  const did = String(index % SENSORS).padStart(3, '0');
  const operation = isWarm(temperature) ? 'create' : 'delete';
  return padded(`{"did":"d${did}","commit":{"operation":"${operation}","rev":${index}},"p":"`, length);
}

function isWarm(temperature: number): boolean {
  return Number(temperature.toFixed(2)) >= WARM_FROM;
}

/** A reading that carries its send time, in microseconds of the machine's monotonic clock. */
export function stamped(sentAt: number, length: number): Buffer {
  return padded(`{"sensor":"s001","temperature":30.5,"at":${sentAt},"p":"`, length);
}

/** A text frame as a client sends it (RFC 6455 section 5). `seed` makes the mask. */
export function maskedFrame(payload: Buffer, seed: number): Buffer {
  const mask = Buffer.alloc(4);
  mask.writeUInt32BE((Math.imul(seed + 1, 2_654_435_761) | 1) >>> 0);
  const { length } = payload;
  const header =
    length < 126
      ? Buffer.of(OP_TEXT, 0x80 | length)
      : Buffer.of(OP_TEXT, 0x80 | 126, length >> 8, length & 0xff);
  const masked = Buffer.from(payload);
  for (let at = 0; at < length; at++) masked[at]! ^= mask[at & 3]!;
  return Buffer.concat([header, mask, masked]);
}

export const pongFrame = Buffer.of(OP_PONG, 0x80, 1, 2, 3, 4);
/** Code 1000, under a mask of zeros. */
export const closeFrame = Buffer.of(OP_CLOSE, 0x82, 0, 0, 0, 0, 0x03, 0xe8);

function padded(head: string, length: number): Buffer {
  const text = head + 'x'.repeat(length - head.length - 2) + '"}';
  if (text.length !== length) throw new Error(`a message of ${length} bytes is too short for ${head}`);
  return Buffer.from(text);
}
