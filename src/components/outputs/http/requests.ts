import { hash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { HttpRequest } from '../../../clients/http/http-client.ts';
import type { Refusals } from '../../../clients/refusals.ts';
import { payloadsOf } from '../../../clients/value-field.ts';
import type { Context } from '../../../component/context.ts';
import type { WriteCall } from '../../../component/contracts.ts';
import { framesOf, messagesOf, type Framer } from '../../../component/framing/framer.ts';
import { openFramer } from '../../../component/framing/open-framing.ts';
import { messageId } from '../../../component/message-id.ts';
import { MessageTemplate, messageValues } from '../../../component/message-template.ts';
import { MessageText, messageNames } from '../../../component/message-text.ts';
import { errorMessage, MillraceError } from '../../../errors.ts';
import type { Batch, Format } from '../../../message/batch.ts';
import { jsonAt, parseJsonPath } from '../../../message/json-path.ts';
import { framingOf, type HttpOutputConfig } from './config.ts';

/** A request for some messages of a batch. */
export interface MessagesRequest {
  readonly request: HttpRequest;
  /** The places of its messages in the batch. */
  readonly places: readonly number[];
}

const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json',
  text: 'text/plain; charset=utf-8',
  bytes: 'application/octet-stream',
};

/** The valid header values (RFC 9110 section 5.5). With a line break, a value could begin another header. */
const HEADER_VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;

/** Makes requests of messages. */
export class Requests {
  readonly #config: HttpOutputConfig;
  readonly #url: MessageText;
  readonly #headers: readonly (readonly [name: string, text: MessageText])[];
  readonly #contentType: string | undefined;
  readonly #body: MessageTemplate | undefined;
  readonly #framer: Framer | undefined;
  readonly #values = new Map<string, MessageText>();
  /** Of all messages, if it is the same for each. */
  readonly #head: Head | undefined;

  constructor(config: HttpOutputConfig, context: Context) {
    this.#config = config;
    this.#url = new MessageText(config.url);
    this.#headers = Object.entries(config.headers).map(([name, text]) => [name, new MessageText(text)]);
    const hasType = this.#headers.some(([name]) => name.toLowerCase() === 'content-type');
    this.#contentType = hasType
      ? undefined
      : { each: undefined, array: CONTENT_TYPES.json, ndjson: 'application/x-ndjson' }[config.batch];
    this.#body = config.body === undefined ? undefined : MessageTemplate.compile(config.body, messageNames);
    this.#framer = openFramer(framingOf(config) ?? {}, context);
    const constants = this.#headers.flatMap(([name, { constant }]) =>
      constant === undefined ? [] : [[name, constant] as const],
    );
    const url = this.#url.constant;
    if (url !== undefined && constants.length === this.#headers.length)
      this.#head = { url, headers: Object.fromEntries(constants), key: '' };
  }

  /** The URL, if it is the same for every message. */
  get url(): string | undefined {
    return this.#url.constant;
  }

  /** The requests for the messages at `places`, in order; messages that cannot be in one are refused. */
  of(batch: Batch, places: readonly number[], call: WriteCall, refused: Refusals): MessagesRequest[] {
    const { heads, fit } = this.#heads(batch, places, refused);
    if (fit.length === 0) return [];
    if (this.#framer === undefined) return this.#single(batch, fit, heads, call, refused);
    const part = fit.length === batch.length ? batch : batch.select(fit);
    const { messages, kept } = this.#contents(part, fit, refused);
    const apart = this.#head === undefined ? (index: number) => heads(kept[index]!).key : undefined;
    const frames = framesOf(this.#framer, messages, apart);
    for (const { index, error } of frames.refusals) refused.add({ index: kept[index]!, error });
    return frames.batch.payloads.map((body, frame) => {
      const own = messagesOf(frames, frame, messages.length).map((index) => kept[index]!);
      return this.#request(heads(own[0]!), body, own, call, this.#contentType);
    });
  }

  /** The URL and the headers of each message, and the messages that have them. */
  #heads(
    batch: Batch,
    places: readonly number[],
    refused: Refusals,
  ): { heads: Heads; fit: readonly number[] } {
    const constant = this.#head;
    if (constant !== undefined) return { heads: () => constant, fit: places };
    const heads = new Map<number, Head>();
    for (const place of places) {
      try {
        heads.set(place, this.#headOf(batch, place));
      } catch (error) {
        refused.add({ index: place, error: unfit(errorMessage(error)) });
      }
    }
    return { heads: (place) => heads.get(place)!, fit: places.filter((place) => heads.has(place)) };
  }

  /** The messages of a part, or the field of each that is sent, and their places in the batch; those that lack it are refused. */
  #contents(
    part: Batch,
    places: readonly number[],
    refused: Refusals,
  ): { readonly messages: Batch; readonly kept: readonly number[] } {
    if (this.#config.body_field === undefined) return { messages: part, kept: places };
    const missing: number[] = [];
    const payloads = payloadsOf(part, this.#config.body_field, ({ index, error }) => {
      missing.push(index);
      refused.add({ index: places[index]!, error });
    });
    const gone = new Set(missing);
    return {
      messages: part.withPayloads(payloads, 'bytes').without(missing),
      kept: places.filter((_, index) => !gone.has(index)),
    };
  }

  #single(
    batch: Batch,
    places: readonly number[],
    heads: Heads,
    call: WriteCall,
    refused: Refusals,
  ): MessagesRequest[] {
    const hasBody = this.#config.method !== 'GET';
    const wanted = new Set(places);
    const payloads = payloadsOf(batch, this.#config.body_field, ({ index, error }) => {
      if (wanted.has(index)) refused.add({ index, error });
    });
    const format = this.#config.body_field === undefined ? batch.format : 'bytes';
    const requests: MessagesRequest[] = [];
    for (const place of places) {
      if (refused.has(place)) continue;
      let body: Uint8Array | undefined = hasBody ? payloads[place]! : undefined;
      let type = CONTENT_TYPES[format];
      if (this.#body !== undefined) {
        const filled = this.#fill(this.#body, batch, place);
        if (filled === undefined) {
          refused.add({ index: place, error: unfit('it has no value for a {{…}} of `body`') });
          continue;
        }
        body = Buffer.from(filled);
        type = /^\s*[[{"]/.test(filled) ? CONTENT_TYPES.json : CONTENT_TYPES.text;
      }
      const isNamed = this.#headers.some(([name]) => name.toLowerCase() === 'content-type');
      requests.push(this.#request(heads(place), body, [place], call, isNamed ? undefined : type));
    }
    return requests;
  }

  #request(
    head: Head,
    body: Uint8Array | undefined,
    places: readonly number[],
    call: WriteCall,
    contentType: string | undefined,
  ): MessagesRequest {
    const { method, compression, idempotency_key: isKeyed } = this.#config;
    const headers = {
      ...(body !== undefined && contentType !== undefined && { 'content-type': contentType }),
      ...(body !== undefined && compression !== undefined && { 'content-encoding': compression }),
      ...(isKeyed && { 'idempotency-key': keyOf(call, places) }),
      ...head.headers,
    };
    const sent = body !== undefined && compression === 'gzip' ? gzipSync(body) : body;
    return { request: { method, url: head.url, headers, body: sent }, places };
  }

  #headOf(batch: Batch, place: number): Head {
    const run = batch.runAt(place);
    const url = this.#url.constant ?? this.#url.render(batch, place, run, inUrl);
    const headers = this.#headers.map(([name, text]) => [
      name,
      text.constant ?? text.render(batch, place, run, (value) => inHeader(name, value)),
    ]);
    return {
      url,
      headers: Object.fromEntries(headers) as Record<string, string>,
      key: JSON.stringify([url, headers]),
    };
  }

  /** The value of a name, for `body`. */
  #value(name: string, argument: string | undefined): MessageText {
    const text = argument === undefined ? `{{${name}}}` : `{{${name}:${argument}}}`;
    let value = this.#values.get(text);
    if (value === undefined) this.#values.set(text, (value = new MessageText(text)));
    return value;
  }

  #fill(template: MessageTemplate, batch: Batch, place: number): string | undefined {
    const run = batch.runAt(place);
    const text = messageValues((name, argument) => this.#value(name, argument).tryRender(batch, place, run));
    return template.tryRender((name, argument, form) => {
      if (name === 'json' && form !== 'text')
        return jsonAt(batch.payloads[place]!, parseJsonPath(argument!)!);
      return text(name, argument, form);
    });
  }
}

/** The part of a request that messages share if it is the same. */
interface Head {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly key: string;
}

/** Also within a path, a value is one segment: it can neither end the path nor go up in it. */
function inUrl(value: string): string {
  if (/^\.{1,2}$/.test(value)) throw new Error('a value of `url` is a step in a path, and no name');
  return encodeURIComponent(value);
}

function inHeader(name: string, value: string): string {
  if (HEADER_VALUE.test(value)) return value;
  throw new Error(
    `its value for the header ${name} has a line break or another character that a header cannot have`,
  );
}

function unfit(message: string): MillraceError {
  return new MillraceError('MILLRACE_OUTPUT_REFUSED', message);
}

/** That of the message at a place. */
type Heads = (place: number) => Head;

/** The same for the same messages. */
function keyOf(call: WriteCall, places: readonly number[]): string {
  const ids = places.map((place) => messageId(call, place));
  return ids.length === 1 ? ids[0]! : `${call.id}/${hash('sha256', ids.join('\n'), 'hex').slice(0, 24)}`;
}
