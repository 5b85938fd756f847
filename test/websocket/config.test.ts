import { expect, test } from 'vitest';
import { configMistakes } from '../support/engine.ts';

const mistakes = (fields: string): string[] => configMistakes(`- input: { type: websocket, ${fields} }\n`);

test.each([
  ['mode: server, port: 1, headers: { A: b }', 'headers: only for `mode: client`; this is `mode: server`'],
  ['mode: server, port: 1, timeout: 5', 'timeout: only for `mode: client`; this is `mode: server`'],
  [
    'mode: server, port: 1, reconnect: { max_attempts: 3 }',
    'reconnect: only for `mode: client`; this is `mode: server`',
  ],
  ['url: "ws://h", host: 127.0.0.1', 'host: only for `mode: server`; this is `mode: client`'],
  ['url: "ws://h", port: 80', 'port: only for `mode: server`; this is `mode: client`'],
  ['url: "ws://h", path: /ws', 'path: only for `mode: server`; this is `mode: client`'],
  ['url: "ws://h", metadata: { query: [a] }', 'metadata: only for `mode: server`; this is `mode: client`'],
])('an option of the other mode is an error, not ignored: %s', (fields, message) => {
  expect(mistakes(fields)).toEqual([`[0].input.${message}`]);
});

test.each([
  ['a client without url', '', /\.url: missing; a client needs the URL of a server/],
  ['a server without port', 'mode: server', /\.port: missing; a server needs `port`, or `url`/],
  ['an unknown mode', 'mode: both, url: "ws://h"', /\.mode: /],
  [
    'a url of another scheme',
    'url: "http://h/"',
    /\.url: .* not a WebSocket URL; expected one like ws:\/\/host:port\/path/,
  ],
  ['a url with a fragment', 'url: "ws://h/#a"', /\.url: a WebSocket URL has no fragment/],
  [
    'an address that is none',
    'mode: server, url: "ws://h:99999/"',
    /\.url: .* not an address to bind; expected one like/,
  ],
  [
    'an address without a port',
    'mode: server, url: "0.0.0.0"',
    /\.url: .* not an address to bind; expected one like/,
  ],
  ['host beside url', 'mode: server, url: "0.0.0.0:1", host: a', /\.host: already given by `url`/],
  ['port beside url', 'mode: server, url: "0.0.0.0:1", port: 2', /\.port: already given by `url`/],
  [
    'path beside the url’s',
    'mode: server, url: "ws://0.0.0.0:1/a", path: /b',
    /\.path: already given by `url`/,
  ],
  [
    'a path without a slash',
    'mode: server, port: 1, path: ws',
    /\.path: .* is not a path; expected one that starts with \//,
  ],
  [
    'a path with a query',
    'mode: server, port: 1, path: /ws?a',
    /\.path: .* is not a path; expected one that starts with \//,
  ],
  [
    'a header name with a space',
    'url: "ws://h", headers: { "A b": c }',
    /\.headers\["A b"\]: .* not a header name/,
  ],
  ['a header value with a line break', 'url: "ws://h", headers: { A: "b\\r\\nC: d" }', /\.headers\.A: /],
  [
    'a header of the handshake',
    'url: "ws://h", headers: { Sec-WebSocket-Protocol: v1 }',
    /\.headers\.Sec-WebSocket-Protocol: /,
  ],
  ['a timeout of nothing', 'url: "ws://h", timeout: 0', /\.timeout: 0 is out of range; expected/],
  [
    'a subprotocol twice',
    'url: "ws://h", protocols: [a, a]',
    /\.protocols: each subprotocol can be named only once/,
  ],
  [
    'a size of nothing',
    'url: "ws://h", max_message_size: 0',
    /\.max_message_size: 0 is out of range; expected/,
  ],
  ['tls with ws://', 'url: "ws://h", tls: { ca_file: a }', /\.tls: has no effect with a ws:\/\/ URL/],
  [
    'half of a key pair',
    'url: "wss://h", tls: { cert_file: a }',
    /\.tls: cert_file and key_file belong together/,
  ],
  ['a wss:// address without a certificate', 'mode: server, url: "wss://0.0.0.0:1"', /\.tls: missing/],
  [
    'a server’s tls without a certificate',
    'mode: server, port: 1, tls: {}',
    /\.tls: a server needs cert_file and key_file/,
  ],
  [
    'a client’s tls option on a server',
    'mode: server, port: 1, tls: { cert_file: a, key_file: b, insecure_skip_verify: true }',
    /\.tls\.insecure_skip_verify: only for `mode: client`/,
  ],
  ['zero attempts', 'url: "ws://h", reconnect: { max_attempts: 0 }', /\.reconnect\.max_attempts: /],
])('a mistake has one clear message: %s', (_, fields, message) => {
  const found = mistakes(fields);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(message);
});

test('an unknown field is an error, with the nearest known one', () => {
  expect(mistakes('url: "ws://h", max_mesage_size: 5').join()).toContain('max_message_size');
});

test.each([
  'url: "ws://localhost:8080/ws"',
  'mode: client, url: "wss://secure.example.com/ws", headers: { Authorization: "Bearer x" }',
  'mode: server, host: "0.0.0.0", port: 8080, path: "/ws"',
  'mode: server, url: "0.0.0.0:8080"',
  'mode: server, url: "ws://0.0.0.0:8080/ws"',
  'mode: server, url: "0.0.0.0:8080", path: /ws',
  'mode: server, port: 1, ping_interval: 0, protocols: [a, b], max_message_size: 4MiB',
])('is right: %s', (fields) => {
  expect(mistakes(fields)).toEqual([]);
});
