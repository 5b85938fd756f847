import { expect, test } from 'vitest';
import { bypassesProxy, isLoopback } from '../../src/net/proxy/no-proxy.ts';

test.each<[string, string, number, boolean]>([
  ['', 'h.example', 80, false],
  ['*', 'h.example', 80, true],
  ['h.example', 'h.example', 80, true],
  ['h.example', 'H.Example.', 80, true],
  ['example', 'h.example', 80, true],
  ['.example', 'h.example', 80, true],
  ['*.example', 'h.example', 80, true],
  ['example', 'badexample', 80, false],
  ['h.example', 'example', 80, false],
  ['a, b\th.example', 'h.example', 80, true],
  ['h.example:8080', 'h.example', 8080, true],
  ['h.example:8080', 'h.example', 80, false],
  ['10.0.0.1', '10.0.0.1', 80, true],
  ['10.0.0.1', '110.0.0.1', 80, false],
  ['10.0.0.1:81', '10.0.0.1', 81, true],
  ['10.0.0.1:81', '10.0.0.1', 80, false],
  ['10.0.0.0/8', '10.200.3.4', 80, true],
  ['10.0.0.0/8', '11.0.0.1', 80, false],
  ['10.0.0.0/8', 'h.example', 80, false],
  ['10.0.0.0/33', '10.0.0.1', 80, false],
  ['fd00::/8', 'fd12::1', 80, true],
  ['fd00::/8', 'fe80::1', 80, false],
  ['fd12::1', 'fd12::1', 80, true],
  ['[fd12::1]:80', 'fd12::1', 80, true],
  ['[fd12::1]', 'fd12::1', 443, true],
  [':80', 'h.example', 80, false],
])('NO_PROXY=%j with %s at %i: %s', (noProxy, host, port, expected) => {
  expect(bypassesProxy(noProxy, host, port)).toBe(expected);
});

test.each<[string, boolean]>([
  ['localhost', true],
  ['LOCALHOST.', true],
  ['a.localhost', true],
  ['127.0.0.1', true],
  ['127.255.0.1', true],
  ['::1', true],
  ['127.example', false],
  ['notlocalhost', false],
  ['10.0.0.1', false],
])('%s is this machine: %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});
