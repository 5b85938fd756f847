/** The rough size of the pieces in which complete replies go to the system, in bytes. */
const PIECE = 64 * 1024;

/** The longest header of a frame, in bytes. */
const LONGEST_HEADER = 10;

const TEXT = 0x81;
const BINARY = 0x82;

/**
 * Frames a server's messages, many of them in one buffer. Sent one by one, a reply of 20 bytes would cost 300 bytes
 * while it waits for a client that does not read, and three times the time.
 */
export class Frames {
  readonly #buffer = Buffer.allocUnsafeSlow(PIECE);
  #length = 0;

  /** Starts afresh for another receiver: nothing meant for one may ever go to another. */
  clear(): void {
    this.#length = 0;
  }

  /** Adds a message as one frame, not compressed and not masked (RFC 6455 section 5.2). */
  add(payload: string | Buffer, binary: boolean, send: (piece: Buffer) => void): void {
    const size = Buffer.byteLength(payload);
    if (this.#length + LONGEST_HEADER + size > PIECE) this.flush(send);
    if (LONGEST_HEADER + size > PIECE) {
      const piece = Buffer.allocUnsafeSlow(LONGEST_HEADER + size);
      send(piece.subarray(0, write(piece, 0, payload, size, binary)));
      return;
    }
    this.#length = write(this.#buffer, this.#length, payload, size, binary);
  }

  /** Sends a copy of the collected frames. */
  flush(send: (piece: Buffer) => void): void {
    if (this.#length === 0) return;
    const piece = Buffer.from(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    send(piece);
  }
}

/** @returns where the frame ends */
function write(into: Buffer, start: number, payload: string | Buffer, size: number, binary: boolean): number {
  let at = start;
  into[at++] = binary ? BINARY : TEXT;
  if (size < 126) into[at++] = size;
  else if (size < 65_536) {
    into[at++] = 126;
    at = into.writeUInt16BE(size, at);
  } else {
    into[at++] = 127;
    at = into.writeUInt32BE(0, at);
    at = into.writeUInt32BE(size, at);
  }
  return at + (typeof payload === 'string' ? into.write(payload, at) : payload.copy(into, at));
}
