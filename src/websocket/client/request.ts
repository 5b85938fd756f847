import { Template, type TemplateValues } from '../../component/template.ts';
import { NotConnectedError, errorMessage } from '../../errors.ts';
import { SUBPROTOCOL } from '../connection-schema.ts';
import { WEBSOCKET_URL, type ClientConfig } from './client-schema.ts';
import { requestTarget } from '../../net/request-target.ts';
import { attemptNames } from './values.ts';

/** The request of a handshake, with every template filled in. */
export interface HandshakeRequest {
  readonly url: URL;
  /** The request target, as written. */
  readonly target: string;
  /** The URL to show, without the values filled in after its host. Not yet masked. */
  readonly shown: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly protocols: readonly string[];
}

/** The valid header values (RFC 9110 section 5.5). With a line break, a value could begin another header. */
const HEADER_VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;

/** The handshake of the configuration, with its templates. */
export class RequestTemplates {
  readonly #url: Template;
  readonly #query: readonly Field[];
  readonly #headers: readonly Field[];
  readonly #protocols: readonly Field[];

  constructor(url: string, config: Pick<ClientConfig, 'query' | 'headers' | 'protocols'>) {
    this.#url = Template.parse(url, attemptNames);
    this.#query = fieldsOf('query', config.query);
    this.#headers = fieldsOf('headers', config.headers);
    this.#protocols = fieldsOf('protocols', config.protocols);
  }

  /** `authorization` is the header of `auth`. @throws NotConnectedError that names the field, without its value */
  render(values: TemplateValues, authorization: string | undefined): HandshakeRequest {
    const headers = this.#headers.map((field) => {
      const value = headerValue(field.path, fill(field, values));
      if (!isBareScheme(field.name, value)) return [field.name, value];
      throw new NotConnectedError(`cannot fill in \`${field.path}\`: there are no credentials for now`);
    });
    if (authorization !== undefined)
      headers.push(['Authorization', headerValue('the credentials of `auth`', authorization)]);
    return {
      ...this.#renderUrl(values),
      headers: Object.fromEntries(headers) as Record<string, string>,
      protocols: this.#renderProtocols(values),
    };
  }

  #renderUrl(values: TemplateValues): Pick<HandshakeRequest, 'url' | 'target' | 'shown'> {
    const filled: string[] = [];
    // Each value is a mark at first, so that its place is known.
    const marked = filling('url', () =>
      this.#url.render(values, (value) => `\uE000${filled.push(encodeURIComponent(value)) - 1}\uE001`),
    );
    const unmark = (text: string, value: (index: number) => string): string =>
      text.replaceAll(/\uE000(\d+)\uE001/g, (_, index: string) => value(Number(index)));
    const real = (index: number): string => filled[index]!;
    const text = unmark(marked, real);
    const url = URL.parse(text);
    if (url === null || !WEBSOCKET_URL.test(text) || url.hash !== '') {
      throw new NotConnectedError('cannot fill in `url`: with the current values, it is not a WebSocket URL');
    }
    const query = this.#query.map(
      (field) => `${encodeURIComponent(field.name)}=${encodeURIComponent(fill(field, values))}`,
    );
    let target = requestTarget(text);
    if (query.length > 0) {
      url.search = [url.search.slice(1), ...query].filter((part) => part !== '').join('&');
      target += `${joint(target)}${query.join('&')}`;
    }
    const [, scheme = '', user = '', host = '', rest = ''] =
      /^([^/]*\/\/)([^/?#]*@)?([^/?#]*)(.*)$/s.exec(marked) ?? [];
    const hidden = (): string => '***';
    return { url, target, shown: scheme + unmark(user, hidden) + unmark(host, real) + unmark(rest, hidden) };
  }

  #renderProtocols(values: TemplateValues): string[] {
    const names = this.#protocols.map((field) => {
      const name = fill(field, values);
      if (!SUBPROTOCOL.test(name)) {
        throw new NotConnectedError(
          `cannot fill in \`${field.path}\`: the result is not a subprotocol name (RFC 6455 section 4.1)`,
        );
      }
      return name;
    });
    if (new Set(names).size === names.length) return names;
    throw new NotConnectedError(
      'cannot fill in `protocols`: with the current values, two of them are the same',
    );
  }
}

interface Field {
  readonly name: string;
  readonly path: string;
  readonly template: Template;
}

function fieldsOf(parent: string, texts: Readonly<Record<string, string>> | readonly string[]): Field[] {
  return Object.entries(texts).map(([name, text]) => ({
    name,
    path: Array.isArray(texts) ? `${parent}[${name}]` : `${parent}.${name}`,
    template: Template.parse(text, attemptNames),
  }));
}

function fill(field: Field, values: TemplateValues): string {
  return filling(field.path, () => field.template.render(values));
}

function filling(path: string, render: () => string): string {
  try {
    return render();
  } catch (error) {
    throw new NotConnectedError(`cannot fill in \`${path}\`: ${errorMessage(error)}`, error);
  }
}

/** The separator between a target and a parameter that is added to it. */
function joint(target: string): string {
  if (!target.includes('?')) return '?';
  return target.endsWith('?') ? '' : '&';
}

/** Whether a header names an authentication scheme without credentials. */
export function isBareScheme(name: string, value: string): boolean {
  return /^(?:proxy-)?authorization$/i.test(name) && /^\s*(?:bearer|basic|token|apikey)\s*$/i.test(value);
}

function headerValue(path: string, value: string): string {
  if (HEADER_VALUE.test(value)) return value;
  const where = path.includes(' ') ? path : `\`${path}\``;
  throw new NotConnectedError(
    `cannot fill in ${where}: the result holds a line break or another character that a header cannot have`,
  );
}
