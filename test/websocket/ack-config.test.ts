import { expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { configMistakes, startEngine } from '../support/engine.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();

const inputs = {
  server: 'mode: server, host: 127.0.0.1, port: 0',
  client: 'url: "ws://127.0.0.1:1/"',
};
const file = (ack: string, input = inputs.server): string => `
streams:
  - input: { type: websocket, ${input}, ack: ${ack} }
    output: { type: collect }
`;

test.each([
  ["{ reply: 'ok' }"],
  ["{ reply: '{{id}}' }"],
  ["{ id: a.b, reply: '{{id}}' }"],
  ["{ id: a, reply: 'ok', reject_reply: 'no {{id}} {{sequence}} {{code}} {{reason}}' }"],
  ["{ id: a, batch: true, reply: '[{{ids}}]' }"],
  ['{ batch: true, reply: \'{"upto":{{sequence}}}\' }'],
  ['{ reply: { ack: "{{id}}" } }'],
  ['{ reply: { base64: BgE= } }'],
  ["{ reply: '{{{{id}}' }"],
])('%s is right in both modes', (ack) => {
  expect(configMistakes(file(ack))).toEqual([]);
  expect(configMistakes(file(ack, inputs.client))).toEqual([]);
});

test.each([
  ['{}', /ack\.reply: /],
  [
    "{ reply: '{{envelope}}' }",
    /ack\.reply: a \{\{…\}\} of an unknown name; known here: \{\{id\}\}, \{\{ids\}\}, \{\{sequence\}\}/,
  ],
  ["{ reply: ok, reject_reply: '{{ids}}' }", /ack\.reject_reply: a \{\{…\}\} of an unknown name/],
  ["{ reply: { a: ['{{reason}}'] } }", /ack\.reply\.a\[0\]: a \{\{…\}\} of an unknown name/],
  ["{ reply: '{{id' }", /ack\.reply: a \{\{ that is not closed/],
  ["{ reply: '[{{ids}}]' }", /ack\.reply: \{\{ids\}\} needs `batch: true`/],
  [
    "{ batch: true, reply: '{{id}}' }",
    /ack\.reply: with `batch`, a reply is for several messages; expected \{\{ids\}\} or \{\{sequence\}\}/,
  ],
  ['{ batch: true, reply: { acks: ["{{ids}}"] } }', /ack\.reply: \{\{ids\}\} is a list without its brackets/],
  ["{ id: a, reply: 'ok {{sequence}}' }", /ack\.id: no reply uses it/],
  ["{ id: '[', reply: '{{id}}' }", /ack\.id: .*not a path/],
  ['{ reply: ok, when: later }', /ack\.when: /],
  ['{ reply: ok, max_unacknowledged: 0 }', /ack\.max_unacknowledged: /],
  ["{ reply: { base64: '!' } }", /ack\.reply\.base64: .*not base64/],
])('%s is a mistake', (ack, message) => {
  for (const input of Object.values(inputs)) {
    expect(configMistakes(file(ack, input))).toEqual([expect.stringMatching(message)]);
  }
});

test.each(Object.entries(inputs))(
  '`stored` without a log is told before anything starts, by a %s',
  async (_, input) => {
    const yaml = file('{ reply: ok, when: stored }', input);
    expect(configMistakes(yaml)).toEqual([]);
    await expect(startEngine(yaml)).rejects.toThrow(
      /`stored` means that the log of the stream has the message/,
    );
  },
);

test('`check` says where', async () => {
  const path = dir.file('stored.yaml', file('{ reply: ok, when: stored }').replace('collect', 'drop'));
  const { code, stderr } = await cli(['check', path]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/stored\.yaml:3:\d+: streams\[0\]\.input\.ack\.when: `stored` means/);
});

test('`reject_reply` with `stored` and no codec is a mistake, since it would never be sent', () => {
  const ack = '{ reply: ok, when: stored, reject_reply: no }';
  for (const input of Object.values(inputs)) {
    expect(configMistakes(file(ack, input))).toEqual([
      expect.stringMatching(/ack\.reject_reply: is never sent with `when: stored` and no `codec`/),
    ]);
    expect(configMistakes(file(`${ack}, codec: { type: json }`, input))).toEqual([]);
  }
});

test('an input among several has its own place', async () => {
  const path = dir.file(
    'part.yaml',
    `streams:
  - input:
      type: multiple_inputs
      inputs:
        - { type: memory, messages: [a] }
        - { type: websocket, mode: server, port: 0, ack: { reply: ok, when: stored } }
    output: { type: drop }
`,
  );
  const { code, stderr } = await cli(['check', path]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/part\.yaml:6:\d+: streams\[0\]\.input\.inputs\[1\]\.ack\.when: `stored` means/);
});
