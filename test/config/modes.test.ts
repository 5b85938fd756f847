import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { expect, test } from 'vitest';
import { registry } from '../../src/components/index.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { ConfigError } from '../../src/config/problem.ts';
import { parseConfig } from '../../src/config/load.ts';

/** The mistakes that `check` finds in a file whose one stream has this input and output. */
function mistakes(input: string, output = 'type: drop'): string[] {
  try {
    parseConfig(`- input: { type: websocket, ${input} }\n  output: { ${output} }`, { registry, env: {} });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path.replace('[0].', '')}: ${message}`);
  }
}

const validate = new Ajv({
  allErrors: true,
  strictTypes: false,
  allowUnionTypes: true,
  formats: { uri: true },
}).compile(configJsonSchema(registry));

/** The mistakes that an editor underlines: a condition that does not hold adds nothing to the mistake in its branch. */
function underlined(input: string, output = 'type: drop'): string[] {
  validate(parse(`- input: { type: websocket, ${input} }\n  output: { ${output} }`));
  return (validate.errors ?? [])
    .filter(({ keyword }) => keyword !== 'if')
    .map(({ instancePath, params }) => `${instancePath} ${String(Object.values(params).flat())}`);
}

const url = 'url: "ws://h/"';

test.each([
  ['a field that is misspelled, in client mode', `${url}, reconect: {}`, '/0/input reconect'],
  ['a field that is misspelled, in server mode', 'mode: server, port: 1, prot: 2', '/0/input prot'],
  ['a mode that there is not', 'mode: sever, port: 1', '/0/input/mode client,server'],
  ['a field of a client in server mode', 'mode: server, port: 1, reconnect: {}', '/0/input reconnect'],
  ['a field of a server in client mode', `${url}, port: 1`, '/0/input port'],
  ['a limit of a server in client mode', `${url}, limits: { connections: 5 }`, '/0/input/limits connections'],
  [
    'a server’s credentials in client mode',
    `${url}, auth: { type: bearer, token: a, tokens: [b] }`,
    '/0/input/auth tokens',
  ],
  ['a value of another type', `${url}, ping_interval: []`, '/0/input/ping_interval string,number'],
  ['a component that there is not', 'type: websocke', '/0/input/type'],
])('an editor underlines one place for %s', (_, input, place) => {
  const found = input.startsWith('type:')
    ? (validate(parse(`- input: { ${input} }`)),
      validate.errors!.filter(({ keyword }) => keyword !== 'if').map(({ instancePath }) => instancePath))
    : underlined(input);
  expect(found).toEqual([place]);
});

test.each([
  [
    'mode: server, port: 1, reconnect: {}',
    'input.reconnect: only for `mode: client`; this is `mode: server`',
  ],
  [`${url}, port: 1`, 'input.port: only for `mode: server`; this is `mode: client`'],
  [
    `${url}, limits: { connections: 5 }`,
    'input.limits.connections: only for `mode: server`; this is `mode: client`',
  ],
  [
    'mode: server, port: 1, auth: { type: basic, users: { a: long-enough }, username: a }',
    'input.auth.username: only for `mode: client`; this is `mode: server`',
  ],
  [`${url}, auth: { type: jwt }`, 'input.auth.type: only for `mode: server`; this is `mode: client`'],
  [
    'mode: server, port: 1, tls: { cert_file: a, key_file: b, server_name: c }',
    'input.tls.server_name: only for `mode: client`; this is `mode: server`',
  ],
  [
    'mode: server, port: 1, hedaers: {}',
    'input.hedaers: unknown field; did you mean headers? It is only for `mode: client`; this is `mode: server`',
  ],
  [
    `${url}, mode: sever`,
    'input.mode: "sever" is not known; expected "client" or "server" (did you mean server?)',
  ],
])('a mistake names the mode that has the field: %s', (input, message) => {
  expect(mistakes(input)).toEqual([message]);
});

test.each([
  [
    'mode: reply, url: "ws://b/"',
    'output.url: only for `mode: client` and `mode: server`; this is `mode: reply`',
  ],
  [`${url}, slow_timeout: 1s`, 'output.slow_timeout: only for `mode: reply`; this is `mode: client`'],
  [
    `${url}, slow_consumer: block`,
    'output.slow_consumer: only for `mode: server` and `mode: reply`; this is `mode: client`',
  ],
])('so does one in an output: %s', (output, message) => {
  expect(mistakes(url, `type: websocket, ${output}`)).toEqual([message]);
});

test('every mistake is reported at once, whichever mode its field belongs to', () => {
  expect(mistakes('mode: server, reconnect: {}, drain: { code: 1000 }')).toEqual([
    'input.reconnect: only for `mode: client`; this is `mode: server`',
    'input.drain.code: 1000 is a number; expected 1001 or 1012',
  ]);
});
