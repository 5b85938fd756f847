import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageTemplate } from '../../src/component/message-template.ts';
import { parseConfig, type ConfigFormat } from '../../src/config/load.ts';
import { registry } from '../../src/components/index.ts';

const load = (name: string, text: string) =>
  parseConfig(text, { registry, file: name, format: name.slice(2) as ConfigFormat, env: {} });

function problems(name: string, text: string): string[] {
  try {
    load(name, text);
    return [];
  } catch (error) {
    return (error as Error).message.split('\n');
  }
}

/** The first message of a client whose `send` is written as `value` in the file. */
function sent(name: string, text: string): string {
  const plan = load(name, text);
  const { on_open: steps } = plan.streams[0]!.input as unknown as { on_open: { send: unknown }[] };
  return MessageTemplate.compile(steps[0]!.send, {}).render(() => undefined);
}

const yaml = (value: string): string =>
  `- input: { type: websocket, url: "ws://h/", on_open: [{ send: { v: ${value} } }] }\n`;
const json = (value: string): string =>
  `[{"input": {"type": "websocket", "url": "ws://h/", "on_open": [{"send": {"v": ${value}}}]}}]`;
const toml = (value: string): string =>
  `[[streams]]\n[streams.input]\ntype = "websocket"\nurl = "ws://h/"\n[[streams.input.on_open]]\nsend = { v = ${value} }\n`;

test.each([
  ['9007199254740993', '9007199254740993'],
  ['0.10', '0.10'],
  ['1.0', '1.0'],
  ['-0', '-0'],
  ['-0.0', '-0.0'],
  ['1e2', '1e2'],
  ['123456789012345678901234567890', '123456789012345678901234567890'],
  ['0.1000000000000000000000001', '0.1000000000000000000000001'],
  ['1E400', '1e400'],
])('%s of a file is sent as %s, from YAML, JSON and TOML', (written, digits) => {
  const same = (text: string): string => text.toLowerCase();
  expect(same(sent('a.json', json(written)))).toBe(`{"v":${digits}}`);
  // For these two a number that large is infinite.
  if (written === '1E400') return;
  expect(sent('a.yaml', yaml(written))).toBe(`{"v":${digits}}`);
  expect(sent('a.toml', toml(written))).toBe(`{"v":${digits}}`);
});

test.each([
  ['a.yaml', yaml('0x1F'), '31'],
  ['a.yaml', yaml('0xFFFFFFFFFFFFFFFF'), '18446744073709551615'],
  ['a.yaml', yaml('0o17'), '15'],
  ['a.yaml', yaml('+1.50'), '1.50'],
  ['a.yaml', yaml('.5'), '0.5'],
  ['a.yaml', yaml('-.50'), '-0.50'],
  ['a.yaml', yaml('12.'), '12'],
  ['a.yaml', yaml('007'), '7'],
  // Text, in YAML 1.2.
  ['a.yaml', yaml('1_000'), '"1_000"'],
  ['a.toml', toml('1_000.50'), '1000.50'],
  ['a.toml', toml('0xdead_beef'), '3735928559'],
  ['a.toml', toml('0b11'), '3'],
  ['a.toml', toml('+9_007_199_254_740_993'), '9007199254740993'],
  ['a.toml', toml('5e+22'), '5e+22'],
])('in %s a number that JSON writes otherwise keeps its value: %s', (name, text, value) => {
  expect(sent(name, text)).toBe(`{"v":${value}}`);
});

test('anchors, merges and lists of TOML have the digits as well', () => {
  const text = `
- input:
    type: websocket
    url: ws://h/
    heartbeat: { send: &id { a: &n 1.0, b: 2 }, interval: 1s }
    on_open: [{ send: { <<: *id, n: *n, b: 3.0, list: [*n, { c: *n }] } }]
`;
  expect(sent('a.yaml', text)).toBe('{"a":1.0,"b":3.0,"n":1.0,"list":[1.0,{"c":1.0}]}');
  expect(sent('a.toml', toml('[1.0, { "x.y" = 2.50 }, 0.10]'))).toBe('{"v":[1.0,{"x.y":2.50},0.10]}');
});

test.each([
  [
    'a.yaml',
    yaml('.inf'),
    'a.yaml:1:68: [0].input.on_open[0].send.v: Infinity is not a number that JSON can hold',
  ],
  ['a.yaml', yaml('-.inf'), /-Infinity is not a number that JSON can hold/],
  ['a.yaml', yaml('.nan'), /NaN is not a number that JSON can hold/],
  ['a.toml', toml('inf'), /Infinity is not a number that JSON can hold/],
  ['a.toml', toml('1979-05-27'), /is not JSON; expected a time in quotes/],
])('a number that JSON cannot write is a mistake in %s: %s', (name, text, problem) => {
  const [found, ...others] = problems(name, text);
  if (typeof problem === 'string') expect(found).toBe(problem);
  else expect(found).toMatch(problem);
  expect(others).toEqual([]);
});

test('the same in a value to match', () => {
  const text = '- input: { type: websocket, url: "ws://h/", heartbeat: { ignore: [{ v: .inf }] } }';
  expect(problems('a.yaml', text)).toEqual([
    expect.stringMatching(/heartbeat\.ignore\[0\]\.v: Infinity is not a number that JSON can hold$/),
  ]);
});

test('other fields get plain numbers', () => {
  for (const [name, text] of [
    ['a.yaml', '- { input: { type: generate, context: x, count: 0x10 }, in_flight: { messages: 1e3 } }'],
    [
      'a.toml',
      '[[streams]]\ninput = { type = "generate", context = "x", count = 0x1_0 }\nin_flight.messages = 1e3\n',
    ],
  ] as const) {
    const { input, in_flight: budget } = load(name, text).streams[0]! as unknown as {
      input: unknown;
      in_flight: unknown;
    };
    expect(input).toMatchObject({ count: 16 });
    expect(budget).toMatchObject({ messages: 1000 });
  }
  const tooLarge = '[[streams]]\ninput = { type = "generate", context = "x", count = 9007199254740993 }\n';
  expect(problems('a.toml', tooLarge)).toEqual([expect.stringMatching(/input\.count: /)]);
});

test('whatever number JSON can write is sent as it was written', () => {
  const number = fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.bigInt({ min: 0n, max: 10n ** 25n }),
      fc.option(fc.stringMatching(/^\d{1,20}$/), { nil: undefined }),
      fc.option(fc.integer({ min: -20, max: 20 }), { nil: undefined }),
    )
    .map(
      ([sign, whole, fraction, exponent]) =>
        `${sign}${whole}${fraction === undefined ? '' : `.${fraction}`}${exponent === undefined ? '' : `e${exponent}`}`,
    );
  fc.assert(
    fc.property(number, (written) => {
      expect(sent('a.json', json(written))).toBe(`{"v":${written}}`);
      expect(sent('a.yaml', yaml(written))).toBe(`{"v":${written}}`);
      // TOML has no integer beyond 64 bits, and wants none with an exponent and no digit before it.
      if (BigInt(written.match(/\d+/)![0]) < 2n ** 63n) {
        expect(sent('a.toml', toml(written))).toBe(`{"v":${written}}`);
      }
    }),
    { numRuns: 60 },
  );
});
