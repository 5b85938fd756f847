import { expect, test } from 'vitest';
import { startCli } from '../support/cli.ts';
import { frame } from '../support/frames.ts';
import { FaultServer } from '../support/peers.ts';
import { program } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { Tool, requireTool } from '../support/tools.ts';

const dir = tempDir();
const entry = program('millrace');

/** C1, two that turn text around, one without width, and a tag. */
const steering = '\u009b31m\u202e\u2066\u200b\u{e0041}';
const shown = '\\u009b31m\\u202e\\u2066\\u200b\\udb40\\udc41';
const UNSEEN =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200b]|\u{e0041}/u;

/** Sends one text, and closes with a reason, both with terminal controls. */
const hostile = (text: string): Promise<FaultServer> =>
  new FaultServer((peer) => {
    const reason = Buffer.from(`bye${steering}`);
    const close = frame('close', Buffer.concat([Buffer.from([0x0f, 0xa1]), reason]));
    void peer.accept({ then: Buffer.concat([frame('text', text), close]) });
  }).up();

test.each(['plain', 'json'])('a close reason reaches a log of format %s in escapes', async (format) => {
  const server = await hostile('x');
  const file = dir.file(
    'a.yaml',
    `logging: { format: ${format} }
health_check: { enabled: false }
streams: [{ input: { type: websocket, url: "${server.url}" }, output: { type: drop } }]`,
  );
  const run = startCli(['run', file]);
  await run.seen(/closed the connection with 4001: bye/);
  run.child.kill();
  const { stderr } = await run.result;
  expect(stderr).toContain('\\u202e');
  expect(stderr).not.toMatch(UNSEEN);
});

/** Runs the command line on a terminal of its own; the lines of the tool are its screen. */
function onTerminal(...args: string[]): Tool {
  const command = [process.execPath, entry, ...args].map((each) => `'${each}'`).join(' ');
  return new Tool(requireTool('script'), ['-qec', command, '/dev/null']);
}

test.each([
  ['tail', ['tail', '--count', '1']],
  ['tail --codec text', ['tail', '--count', '1', '--codec', 'text']],
  ['tail --metadata', ['tail', '--count', '1', '--metadata']],
])('`millrace %s` shows the terminal controls of a message', async (_, args) => {
  const server = await hostile(`\u001b[2Jred ${steering} end`);
  const tool = onTerminal(...args, server.url);
  const line = await tool.line(/red/);
  // In JSON the escape of ESC was there before.
  expect(line).toContain(`\\u001b[2Jred ${shown} end`);
  expect(line).not.toMatch(UNSEEN);
});

test('`run` escapes controls on a terminal, too; a pipe gets the data byte for byte', async () => {
  const text = `\u001b[2Jred ${steering} end`;
  const server = await hostile(text);
  const file = dir.file(
    'b.yaml',
    `logging: { level: silent }
health_check: { enabled: false }
streams: [{ input: { type: websocket, url: "${server.url}" } }]`,
  );
  const line = await onTerminal('run', file).line(/red/);
  expect(line).toBe(`\\u001b[2Jred ${shown} end`);
  const piped = startCli(['run', file]);
  await piped.seen(/red/);
  piped.child.kill();
  expect((await piped.result).stdout).toContain(`${text}\n`);
});
