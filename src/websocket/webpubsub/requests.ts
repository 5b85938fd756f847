import { jsonMembers } from '../../message/json.ts';
import { findJsonError } from '../../message/json-validate.ts';
import { Fields, type AckError, type DataType } from './protocol.ts';

/** The data of a client's message, as it came and as the stream gets it. */
export interface Data {
  readonly type: DataType;
  /** A view of the frame where possible. */
  readonly payload: Uint8Array;
  /** The JSON in the frame. */
  readonly raw: Uint8Array;
}

/** The client's number for a message that it wants confirmed. */
export type AckId = number | undefined;

export type Request =
  | { readonly kind: 'event'; readonly name: string; readonly data: Data; readonly ackId: AckId }
  | {
      readonly kind: 'sendToGroup';
      readonly name: string;
      readonly data: Data;
      readonly noEcho: boolean;
      readonly ackId: AckId;
    }
  | { readonly kind: 'joinGroup' | 'leaveGroup'; readonly name: string; readonly ackId: AckId }
  | { readonly kind: 'sequenceAck'; readonly sequenceId: number }
  | { readonly kind: 'ping' }
  /** Refused; the number tells the client which message it was. */
  | { readonly kind: 'refused'; readonly ackId: number; readonly error: AckError }
  /** Refused with this frame as the answer. */
  | { readonly kind: 'answered'; readonly frame: string }
  | { readonly kind: 'ignored' }
  /** The client could not tell which message was refused, so the connection ends. */
  | { readonly kind: 'broken'; readonly code: 1007 | 1008; readonly reason: string };

/** The longest name of an event or a group, in characters. */
const LONGEST_NAME = 1024;

/** The mistake in a request. */
class Fault {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

/** Reads a frame of the client. Never throws. */
export function parseRequest(frame: Uint8Array, binary: boolean): Request {
  // `ws` has checked that a text frame is UTF-8.
  const members = binary || findJsonError(frame) >= 0 ? undefined : jsonMembers(frame);
  if (members === undefined)
    return { kind: 'broken', code: 1007, reason: 'expected a JSON object in a text frame' };
  const fields = new Fields(frame, members);
  const type = fields.value('type');
  const ackId = ackIdOf(fields);
  const request = ackId instanceof Fault ? ackId : requestOf(type, ackId, fields);
  if (!(request instanceof Fault)) return request;
  const { reason } = request;
  if (typeof ackId === 'number')
    return { kind: 'refused', ackId, error: { name: 'BadRequest', message: reason } };
  return { kind: 'broken', code: 1008, reason };
}

function requestOf(type: unknown, ackId: AckId, fields: Fields): Request | Fault {
  switch (type) {
    case 'event': {
      const name = nameOf(fields, 'event');
      const data = dataOf(fields);
      if (name instanceof Fault) return name;
      return data instanceof Fault ? data : { kind: type, name, data, ackId };
    }
    case 'sendToGroup': {
      if (fields.has('stream')) return streamRefused(fields.value('stream'));
      const name = nameOf(fields, 'group');
      const data = dataOf(fields);
      const noEcho = fields.value('noEcho') === true;
      if (name instanceof Fault) return name;
      return data instanceof Fault ? data : { kind: type, name, data, noEcho, ackId };
    }
    case 'joinGroup':
    case 'leaveGroup': {
      const name = nameOf(fields, 'group');
      return name instanceof Fault ? name : { kind: type, name, ackId };
    }
    case 'sequenceAck': {
      const sequenceId = fields.value('sequenceId');
      if (isId(sequenceId)) return { kind: type, sequenceId };
      return new Fault('sequenceId: expected a whole number');
    }
    case 'ping':
      return { kind: type };
    case 'invoke':
      return invokeRefused(fields.value('invocationId'));
    // The request that these follow has already been refused.
    case 'cancelInvocation':
    case 'streamData':
    case 'streamEnd':
      return { kind: 'ignored' };
    default:
      return new Fault(
        `type: expected event, sendToGroup, joinGroup, leaveGroup, sequenceAck or ping, not ${inShort(type)}`,
      );
  }
}

function ackIdOf(fields: Fields): AckId | Fault {
  const value = fields.value('ackId');
  if (value === undefined || value === null) return undefined;
  return isId(value) ? value : new Fault('ackId: expected a whole number below 2^53');
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function nameOf(fields: Fields, field: 'event' | 'group'): string | Fault {
  const name = fields.value(field);
  if (typeof name === 'string' && name !== '' && name.length <= LONGEST_NAME && name.isWellFormed())
    return name;
  return new Fault(`${field}: expected a name of up to ${LONGEST_NAME} characters`);
}

function dataOf(fields: Fields): Data | Fault {
  const type = fields.value('dataType') ?? 'json';
  const raw = fields.raw('data');
  if (raw === undefined) return new Fault('data: missing');
  if (type === 'json') return { type, payload: raw, raw };
  if (type !== 'text' && type !== 'binary' && type !== 'protobuf')
    return new Fault(`dataType: expected json, text or binary, not ${inShort(type)}`);
  const text = fields.value('data');
  if (typeof text !== 'string') return new Fault(`data: expected a string, for it is ${type}`);
  if (type === 'text') {
    if (text.isWellFormed()) return { type, payload: Buffer.from(text), raw };
    return new Fault('data: half of a surrogate pair is not text');
  }
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text))
    return { type, payload: Buffer.from(text, 'base64'), raw };
  return new Fault('data: expected base64 (RFC 4648 section 4)');
}

/** A stream of the newer protocol, whose parts have their own numbers. */
function streamRefused(stream: unknown): Request | Fault {
  const streamId = memberOf(stream, 'streamId');
  if (typeof streamId !== 'string') return new Fault('stream.streamId: expected a string');
  const error = { name: 'NotSupported', message: 'streams to groups are not supported' };
  return { kind: 'answered', frame: JSON.stringify({ type: 'streamClosed', streamId, error }) };
}

function invokeRefused(invocationId: unknown): Request | Fault {
  if (typeof invocationId !== 'string') return new Fault('invocationId: expected a string');
  const error = { name: 'NotSupported', message: 'nothing here answers invocations; send an event' };
  return {
    kind: 'answered',
    frame: JSON.stringify({ type: 'invokeResponse', invocationId, success: false, error }),
  };
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** Shortens a value so that it fits into the reason of a close frame, which has at most 123 bytes. */
function inShort(value: unknown): string {
  return value === undefined
    ? 'none'
    : JSON.stringify(value)
        .replace(/[^ -~]/g, '?')
        .slice(0, 20);
}
