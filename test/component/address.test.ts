import { expect, test } from 'vitest';
import { formatAddress, parseAddress } from '../../src/component/address.ts';

test.each([
  ['127.0.0.1:4747', { host: '127.0.0.1', port: 4747, path: undefined, secure: false }],
  ['0.0.0.0:8080', { host: '0.0.0.0', port: 8080, path: undefined, secure: false }],
  ['[::1]:4747', { host: '::1', port: 4747, path: undefined, secure: false }],
  ['[::]:0', { host: '::', port: 0, path: undefined, secure: false }],
  ['localhost:65535', { host: 'localhost', port: 65_535, path: undefined, secure: false }],
  ['ws://0.0.0.0:8080/ws', { host: '0.0.0.0', port: 8080, path: '/ws', secure: false }],
  ['ws://0.0.0.0:8080', { host: '0.0.0.0', port: 8080, path: undefined, secure: false }],
  ['ws://0.0.0.0:8080/', { host: '0.0.0.0', port: 8080, path: '/', secure: false }],
  ['WSS://feed.example.com/a%20b/', { host: 'feed.example.com', port: 443, path: '/a%20b/', secure: true }],
  ['ws://[fe80::1%eth0]/x', { host: 'fe80::1%eth0', port: 80, path: '/x', secure: false }],
  ['wss://my_host-1:1/', { host: 'my_host-1', port: 1, path: '/', secure: true }],
])('%s', (text, address) => {
  expect(parseAddress(text)).toEqual(address);
});

test.each([
  '',
  '8080',
  ':8080',
  'localhost',
  'localhost:',
  'localhost:65536',
  'localhost:-1',
  'localhost:8080/ws',
  '::1:4747',
  '[::1]',
  '[::g]:1',
  '[127.0.0.1]:1',
  '256.0.0.1:80',
  '1.2.3:80',
  'a b:80',
  'a..b:80',
  'höst:80',
  ' localhost:80',
  'localhost:80\n',
  'ws://',
  'ws:///path',
  'ws://user:pass@host/',
  'ws://host/?q=1',
  'ws://host/#f',
  'ws://host:80 /x',
  'ws://host/a b',
  'http://host:80/',
  `${'a'.repeat(300)}:80`,
])('%j is not an address', (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test('long nonsense is refused in no time', () => {
  expect(parseAddress(`${'a-'.repeat(50_000)}!:80`)).toBeUndefined();
  expect(parseAddress(`${'a.'.repeat(50_000)}:80`)).toBeUndefined();
});

test('formatting puts IPv6 in brackets', () => {
  expect(formatAddress('::1', 80)).toBe('[::1]:80');
  expect(formatAddress('localhost', 80)).toBe('localhost:80');
});
