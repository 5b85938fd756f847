import { expect, test } from 'vitest';
import { Routes } from '../../src/control/routes.ts';

function routes(...paths: string[]): Routes<string> {
  const all = new Routes<string>();
  for (const path of paths) all.add(path, path);
  return all;
}

test.each([
  ['/devices/list', '/devices/list', {}],
  ['/devices/7', '/devices/:id', { id: '7' }],
  ['/devices/list/x', '/devices/:id/:part', { id: 'list', part: 'x' }],
  ['/devices/7/state', '/devices/:id/state', { id: '7' }],
  ['/devices/all/state', '/devices/all/:part', { part: 'state' }],
  ['/north/a/b', '/:zone/:x/b', { zone: 'north', x: 'a' }],
])('%s goes to the most specific path, %s', (path, to, parameters) => {
  const paths = [
    '/:zone/:x/b',
    '/:zone/:x/:y',
    '/devices/:id/:part',
    '/devices/:id/state',
    '/devices/all/:part',
    '/devices/:id',
    '/devices/list',
  ];
  for (const order of [paths, paths.toReversed()]) {
    expect(routes(...order).find(path)).toEqual({ route: to, parameters });
  }
});

test('a parameter takes one segment that is not empty', () => {
  const all = routes('/a/:x');
  for (const path of ['/a', '/a/', '/a/b/', '/a/b/c', '//b', '/A/b', '/%61/b']) {
    expect(all.find(path), path).toBeUndefined();
  }
});

test('its value is percent-decoded; one that cannot be decoded is malformed', () => {
  const all = routes('/a/:x');
  expect(all.find('/a/caf%C3%A9%20%2F+%2e%2e')).toEqual({ route: '/a/:x', parameters: { x: 'café /+..' } });
  for (const path of ['/a/%', '/a/%E0%A4', '/a/%C3%28', '/a/%zz'])
    expect(all.find(path), path).toBe('malformed');
});

test('names and values that every object has are like any other', () => {
  const all = routes('/a/:__proto__/:constructor', '/b/:x');
  const found = all.find('/a/1/2');
  expect(found).not.toBe('malformed');
  const { parameters } = found as Exclude<typeof found, 'malformed' | undefined> & object;
  expect(Object.entries(parameters)).toEqual([
    ['__proto__', '1'],
    ['constructor', '2'],
  ]);
  for (const path of ['/__proto__', '/constructor', '/toString']) expect(all.find(path)).toBeUndefined();
  expect(all.find('/b/__proto__')).toEqual({ route: '/b/:x', parameters: { x: '__proto__' } });
});

test('paths that take the same requests are taken; others are not', () => {
  const all = routes('/a/:x', '/a/b');
  expect(all.taken('/a/:y')).toBe('/a/:x');
  expect(all.taken('/a/b')).toBe('/a/b');
  for (const path of ['/a/c', '/:x/b', '/a/:x/:y', '/a']) expect(all.taken(path), path).toBeUndefined();
  all.delete('/a/:x');
  expect(all.taken('/a/:y')).toBeUndefined();
  expect(all.find('/a/z')).toBeUndefined();
  expect([all.size, all.paths]).toEqual([1, ['/a/b']]);
});
