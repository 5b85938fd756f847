import { pipeline } from 'node:stream/promises';
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createGzip,
  createInflate,
  createInflateRaw,
  createZstdCompress,
  createZstdDecompress,
  deflateRawSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateRawSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib';
import { errorMessage, MillraceError } from '../../errors.ts';
import { framingErrors } from './records.ts';

/** `deflate` is HTTP's, in zlib's format (RFC 1950); `deflate_raw` has nothing around it (RFC 1951). */
export const compressions = ['gzip', 'deflate', 'deflate_raw', 'zstd', 'br'] as const;

export type Compression = (typeof compressions)[number];

// At its default quality, the slowest, brotli takes a hundred times as long.
const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } };

const algorithms = {
  gzip: { compress: gzipSync, inflate: gunzipSync, inflater: createGunzip },
  deflate: { compress: deflateSync, inflate: inflateSync, inflater: createInflate },
  deflate_raw: { compress: deflateRawSync, inflate: inflateRawSync, inflater: createInflateRaw },
  zstd: { compress: zstdCompressSync, inflate: zstdDecompressSync, inflater: createZstdDecompress },
  br: {
    compress: (bytes: Uint8Array) => brotliCompressSync(bytes, brotli),
    inflate: brotliDecompressSync,
    inflater: createBrotliDecompress,
  },
} as const;

export function compress(compression: Compression, bytes: Uint8Array): Uint8Array {
  return algorithms[compression].compress(bytes);
}

/** The compressions of files, and the endings of their names. */
export const fileCompressions = {
  gzip: { ending: '.gz', compressor: createGzip },
  zstd: { ending: '.zst', compressor: createZstdCompress },
} as const;

/** The names of `FileCompression`, as a file has them. */
export const fileCompressionNames = ['gzip', 'zstd'] as const satisfies readonly FileCompression[];

/** How a whole file may be compressed. */
export type FileCompression = keyof typeof fileCompressions;

/** Decompresses a frame. Returns an error if the frame is not compressed that way, or is longer than `max` bytes. */
export function inflate(
  compression: Compression,
  bytes: Uint8Array,
  max: number,
): Uint8Array | MillraceError {
  try {
    // `info` gives how much of the input was read: anything behind the end would be lost.
    const { buffer, engine } = algorithms[compression].inflate(bytes, {
      maxOutputLength: max,
      info: true,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    const left = bytes.length - engine.bytesWritten;
    return left === 0 ? buffer : notInflated(`not ${compression}: ${left} bytes stand behind its end`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      return notInflated(`the frame inflates to more than \`max_frame_size\` (${max} bytes)`);
    }
    return notInflated(`not ${compression}: ${errorMessage(error)}`);
  }
}

/**
 * Decompresses bytes that come in pieces. @throws MillraceError MILLRACE_FRAMING_INVALID, or the error of `source`
 */
export async function* inflated(
  compression: Compression,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer> {
  const inflater = algorithms[compression].inflater();
  let given = 0;
  let failure: { readonly error: unknown } | undefined;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of source) {
        given += piece.length;
        yield piece;
      }
    } catch (error) {
      failure = { error };
      throw error;
    }
  };
  const done = pipeline(counted, inflater);
  // It is awaited below; until then Node must not report its failure as unhandled.
  done.catch(() => {});
  try {
    for await (const piece of inflater) yield piece as Buffer;
    await done;
  } catch (error) {
    if (failure !== undefined) throw failure.error;
    throw notInflated(`not ${compression}: ${errorMessage(error)}`);
  }
  const left = given - inflater.bytesWritten;
  if (left > 0) throw notInflated(`not ${compression}: ${left} bytes or more stand behind its end`);
}

function notInflated(message: string): MillraceError {
  return new MillraceError(framingErrors.MILLRACE_FRAMING_COMPRESSION, message);
}
