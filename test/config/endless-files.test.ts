import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { configFiles } from '../support/config.ts';
import { registry } from '../support/config-registry.ts';
import { startEngine } from '../support/engine.ts';
import { freePort } from '../support/peers.ts';

const { dir, problems } = configFiles();
const large = dir.file('large', Buffer.alloc(1024 ** 2 + 1, 0x61));
const pipe = join(dir.path, 'pipe');
execFileSync('mkfifo', [pipe]);

const endless = [
  ['a device', '/dev/zero', 'it is a device; expected a regular file'],
  ['a pipe', pipe, 'it is a pipe; expected a regular file'],
  ['too much', large, 'it is too long; expected at most 1 MiB'],
] as const;

test.each(endless)('${file:…} of %s is a mistake', async (_, path, why) => {
  expect(await problems('a.yaml', `- input: { type: generate, context: "\${file:${path}}" }`)).toEqual([
    `yaml:1:37: [0].input.context: \${file:${path}} cannot be filled in: ${why}`,
  ]);
});

test.each(endless)('{{file:…}} of %s fails the attempt and says why', async (_, path, why) => {
  const run = await startEngine(
    `- { input: { type: websocket, url: "ws://127.0.0.1:${await freePort()}/", headers: { X: "{{file:${path}}}" } } }`,
  );
  const { msg } = await run.logged(/^input failed to connect/);
  expect(msg).toBe(`input failed to connect: cannot fill in \`headers.X\`: ${path}: ${why}`);
});

test.each(endless)('a token file that is %s fails the attempt and says why', async (_, path, why) => {
  const run = await startEngine(
    `- { input: { type: websocket, url: "ws://127.0.0.1:${await freePort()}/", auth: { type: bearer, token_file: "${path}" } } }`,
  );
  const { msg } = await run.logged(/^input failed to connect/);
  expect(msg).toBe(`input failed to connect: cannot read \`auth.token_file\`: ${why}`);
});

test.each([
  ['a certificate authority', 'url: "wss://127.0.0.1:1/", tls: { ca_file: FILE }'],
  ['a key', 'mode: server, listen: "127.0.0.1:0", tls: { cert_file: FILE, key_file: FILE }'],
  ['users', 'mode: server, listen: "127.0.0.1:0", auth: { type: basic, users_file: FILE }'],
  ['a cursor', 'url: "ws://127.0.0.1:1/?{{cursor}}", resume: { path: FILE, cursor: id }'],
])('a file of %s that never ends is refused', async (_, fields) => {
  const config = fields.replace('listen: "127.0.0.1:0"', `host: 127.0.0.1, port: ${await freePort()}`);
  for (const [kind, path] of [
    ['a device', '/dev/zero'],
    ['a pipe', pipe],
  ] as const) {
    const run = await startEngine(
      `- input: { type: websocket, ${config.replaceAll('FILE', JSON.stringify(path))} }`,
    );
    await run.logged(new RegExp(`${path}\\b.*: it is ${kind}; expected a regular file`));
  }
});

test('a configuration that is not a file, or is too long, cannot be read', async () => {
  const link = join(dir.path, 'zero.yaml');
  execFileSync('ln', ['-s', '/dev/zero', link]);
  await expect(loadConfig(link, { registry })).rejects.toThrow(
    `${link} cannot be read: it is a device; expected a regular file`,
  );
  const huge = dir.file('huge.yaml', Buffer.alloc(16 * 1024 ** 2 + 1, 0x20));
  await expect(loadConfig(huge, { registry })).rejects.toThrow(
    `${huge} cannot be read: it is too long; expected at most 16 MiB`,
  );
});

test('a second YAML document is refused, with its place and the remedy', async () => {
  const stream = '- input: { type: generate, context: x }\n';
  const message =
    'a second document begins here; expected one in a file: put all streams into one list, or each document into its own file';
  expect(await problems('a.yaml', `${stream}---\n${stream}`)).toEqual([`yaml:2:1: ${message}`]);
  expect(await problems('a.yaml', `---\n${stream}...\n---\n${stream}`)).toEqual([`yaml:4:1: ${message}`]);
  expect(await problems('a.yaml', `---\n${stream}...\n`)).toEqual([]);
});
