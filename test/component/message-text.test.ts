import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MessageText, messageNames } from '../../src/component/message-text.ts';
import { registry } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { Batch } from '../../src/message/batch.ts';
import { configMistakes } from '../support/engine.ts';

const time = Date.UTC(2026, 10, 30, 7, 5) * 1000;
const origin = { source: 'ws://feed', ext: { 'param.room': 'lobby' } };
const batch = new Batch([Buffer.from('{"a":{"b":7}}'), Buffer.from('{"a":{"b":"x"}}')], {
  runs: [{ start: 0, origin, time }],
});
const textsOf = (text: string): (string | undefined)[] =>
  [0, 1].map((index) => new MessageText(text).tryRender(batch, index, batch.runs[0]!));

test('each name stands for a value of the message', () => {
  expect(textsOf('{{date}} {{year}}-{{month}}-{{day}} {{hour}}:{{minute}}')[0]).toBe(
    '2026-11-30 2026-11-30 07:05',
  );
  expect(textsOf('{{source}} {{meta:param.room}}')).toEqual(['ws://feed lobby', 'ws://feed lobby']);
  expect(textsOf('{{json:a.b}}')).toEqual(['7', 'x']);
  expect(textsOf('{{key:-none}} {{meta:nothing:-x}}')[0]).toBe('none x');
  expect(textsOf('{{key}}')).toEqual([undefined, undefined]);
});

test('a text differs by message only if it must', () => {
  expect(new MessageText('{{meta:param.room}} {{date}}').isByMessage(batch)).toBe(false);
  expect(new MessageText('{{json:a.b}}').isByMessage(batch)).toBe(true);
  expect(new MessageText('{{meta:sequence}}').isByMessage(batch)).toBe(true);
  expect(new MessageText('constant').constant).toBe('constant');
});

test('a text of one name has each value of a list; with other text around it, it is one text', () => {
  const listed = new Batch([Buffer.from('{"to":["a",true,1.50,12345678901234567890,null,["b"],{"c":1}]}')], {
    runs: [{ start: 0, origin: { source: 's', ext: { rooms: ['x', 'y'], none: [] } }, time }],
  });
  const valuesOf = (text: string) => new MessageText(text).values(listed, 0, listed.runs[0]!);
  expect(valuesOf('{{json:to}}')).toEqual(['a', 'true', '1.50', '12345678901234567890']);
  expect(valuesOf('{{meta:rooms}}')).toEqual(['x', 'y']);
  expect(valuesOf('{{meta:none:-default}}')).toEqual([]);
  expect(valuesOf('room {{meta:rooms}}')).toBe('room ["x","y"]');
  expect(valuesOf('{{json:to[0]}}')).toBe('a');
  expect(valuesOf('{{json:missing:-default}}')).toBe('default');
  expect(valuesOf('{{json:missing}}')).toBeUndefined();
});

/** A file whose output fills in a text for each message. */
const outputs = {
  file: (text: string): string =>
    `- input: { type: memory, messages: [x] }\n  output: { type: file, path: 'out/${text}' }`,
  websocket: (text: string): string =>
    `- input: { type: memory, messages: [x] }\n  output: { type: websocket, mode: server, path: /x, match: { session_id: '${text}' } }`,
};

test.each(Object.entries(outputs))('the output %s takes every name, and no other', (_, fileOf) => {
  for (const name of Object.keys(messageNames)) {
    const text = name.endsWith(':') ? `{{${name}a.b}}` : `{{${name}}}`;
    expect(() => parseConfig(fileOf(text), { registry, env: {} })).not.toThrow();
  }
  expect(configMistakes(fileOf('{{nobody}}')).join()).toContain(
    'a {{…}} of an unknown name; known here: {{date}}',
  );
  expect(configMistakes(fileOf('{{json:a..b}}')).join()).toContain('not a JSON path: a..b');
});

test('no output has template names of its own', () => {
  const root = new URL('../../', import.meta.url);
  const files = globSync('src/components/outputs/**/*.ts', { cwd: root });
  expect(files.length).toBeGreaterThan(10);
  const own = files.filter((file) =>
    /TemplateNames|Template\.parse/.test(readFileSync(new URL(file, root), 'utf8')),
  );
  expect(own).toEqual([]);
});
