import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { cliProcess } from '../support/cli.ts';

const entry = fileURLToPath(new URL('../../bin/millrace.js', import.meta.url));

/** Node with another version number, which the program takes for an old one. */
function nodeVersion(version: string): string[] {
  const code = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  return ['--import', `data:text/javascript,${encodeURIComponent(code)}`];
}

test.each(['20.19.4', '22.17.1', '18.0.0'])('Node %s is refused, with the remedy', async (version) => {
  const { code, stdout, stderr } = await cliProcess(['--version'], {
    entry,
    nodeOptions: nodeVersion(version),
  });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(
    new RegExp(`^millrace needs Node\\.js 22\\.18 or newer, and this is ${version}\\.\n`),
  );
});

test.each(['22.18.0', '23.0.0', '100.1.0'])('Node %s is not turned away', async (version) => {
  const { stderr } = await cliProcess(['--version'], { entry, nodeOptions: nodeVersion(version) });
  expect(stderr).not.toContain('needs Node.js');
});
