import { isUtf8 } from 'node:buffer';
import { findJsonError } from '../message/json-validate.ts';
import { asLine } from '../message/lines.ts';
import { textOf } from '../message/text.ts';
import { nowMicros } from '../message/batch.ts';
import { microsToIso } from '../message/described.ts';
import { printable } from '../errors.ts';
import type { Session } from '../websocket/session.ts';
import type { Codec } from './client-options.ts';

const LF = 10;

/** The bytes of a message's line, without the line's end. */
export type Format = (payload: Buffer, binary: boolean, session: Session) => Uint8Array;

const plain: Readonly<Record<Codec, Format>> = {
  auto: (payload, binary) =>
    binary ? base64(payload) : (asLine(payload, false) ?? Buffer.from(asString(payload).text)),
  text: (payload) => payload,
  json: (payload) =>
    findJsonError(payload) < 0 && isUtf8(payload) && !payload.includes(LF)
      ? payload
      : Buffer.from(asJson(payload).text),
  base64,
  raw: (payload) => payload,
};

/** On a terminal, control characters that would steer it are escaped; `raw` keeps all bytes. */
export function formatOf(codec: Codec, metadata: boolean, terminal: boolean): Format {
  const format = lineOf(codec, metadata);
  if (!terminal || codec === 'raw') return format;
  return (...message) => Buffer.from(printable(Buffer.from(format(...message)).toString()));
}

function lineOf(codec: Codec, metadata: boolean): Format {
  if (!metadata) return plain[codec];
  return (payload, binary, session) => {
    const { text, encoding } = described(payload, binary, codec);
    const { source, ext } = session.origin;
    const about = JSON.stringify({
      __meta_source: source,
      __meta_ingest_time: microsToIso(nowMicros()),
      __meta_ext: {
        ...ext,
        message_type: binary ? 'binary' : 'text',
        sequence: String(session.sequence),
      },
    });
    return Buffer.from(`{"payload":${text},"encoding":"${encoding}","metadata":${about}}`);
  };
}

interface Described {
  /** JSON on one line. */
  readonly text: string;
  readonly encoding: 'json' | 'utf8' | 'base64';
}

function described(payload: Buffer, binary: boolean, codec: Codec): Described {
  if (codec === 'json') return asJson(payload);
  if (codec === 'base64' || (codec === 'auto' && binary)) return asBase64(payload);
  return asString(payload);
}

/** The message as JSON on one line. A message that is JSON keeps the digits of its numbers. */
function asJson(payload: Buffer): Described {
  if (!isUtf8(payload) || findJsonError(payload) >= 0) return asString(payload);
  return { text: textOf(asLine(payload, true)!), encoding: 'json' };
}

function asString(payload: Buffer): Described {
  return isUtf8(payload) ? { text: JSON.stringify(payload.toString()), encoding: 'utf8' } : asBase64(payload);
}

function asBase64(payload: Buffer): Described {
  return { text: `"${payload.toString('base64')}"`, encoding: 'base64' };
}

function base64(payload: Buffer): Uint8Array {
  return Buffer.from(payload.toString('base64'));
}
