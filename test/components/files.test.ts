import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { engineFor } from '../runtime/harness.ts';
import { requireTool } from '../support/tools.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-files-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string): string => join(folder, name);
const memory = (...messages: string[]): string =>
  `input: { type: memory, messages: ${JSON.stringify(messages)} }`;

/** Arguments of a Node process that runs the streams, and exits with the number of failed ones. */
const program = (streams: string): string[] => [
  '--input-type=module',
  '--eval',
  `import { engineFor } from ${JSON.stringify(new URL('../runtime/harness.ts', import.meta.url).href)};
   const { failed } = await engineFor(${JSON.stringify(streams)}).run();
   process.exitCode = failed.length;`,
];

describe('file output', () => {
  test('appends a message a line, and makes the folders', async () => {
    const path = at('new/folder/out.txt');
    for (const message of ['one', 'two']) {
      const outcome = await engineFor(
        `streams: [{ ${memory(message)}, output: { type: file, path: ${path} } }]`,
      ).run();
      expect(outcome.failed).toEqual([]);
    }
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
  });

  test('with append: false, the file starts empty', async () => {
    writeFileSync(at('out.txt'), 'old\n');
    await engineFor(
      `streams: [{ ${memory('new')}, output: { type: file, append: false, path: ${at('out.txt')} } }]`,
    ).run();
    expect(readFileSync(at('out.txt'), 'utf8')).toBe('new\n');
  });

  test('a line that an earlier run left torn spoils no later line', async () => {
    writeFileSync(at('out.jsonl'), '{"whole":1}\n{"torn":');
    await engineFor(
      `streams: [{ ${memory('{"next":2}')}, output: { type: file, path: ${at('out.jsonl')} } }]`,
    ).run();
    expect(readFileSync(at('out.jsonl'), 'utf8')).toBe('{"whole":1}\n{"torn":\n{"next":2}\n');
  });

  test.each(['', ', codec: { type: json }', ', codec: { type: text }'])(
    'JSON over several lines is one line, its strings and digits as they were (input%s)',
    async (codec) => {
      const pretty = '{\r\n  "a \\"b": "x\\\\",\n\t"n": [1.0,\n2e0, 9007199254740993]\n}\n';
      const messages = [pretty, '{ "kept":  1 }\n', '2', '[\n]\n\n'];
      await engineFor(
        `streams: [{ input: { type: memory, messages: ${JSON.stringify(messages)}${codec} }, output: { type: file, path: ${at('out.jsonl')} } }]`,
      ).run();
      expect(readFileSync(at('out.jsonl'), 'utf8').split('\n')).toEqual([
        String.raw`{"a \"b":"x\\","n":[1.0,2e0,9007199254740993]}`,
        '{ "kept":  1 }',
        '2',
        '[]',
        '',
      ]);
    },
  );

  test('line breaks at the end of a message are the end of its line', async () => {
    const messages = ['one\n', 'two\r\n', 'three\n\n', '\n', 'four'];
    const streams = (output: string): string =>
      `streams: [{ ${memory(...messages)}, output: { ${output} } }]`;
    await engineFor(streams(`type: file, path: ${at('out.txt')}`)).run();
    expect(readFileSync(at('out.txt'), 'utf8')).toBe('one\ntwo\nthree\n\nfour\n');
    const stdout = execFileSync(process.execPath, program(streams('type: stdout')), { encoding: 'utf8' });
    expect(stdout).toBe('one\ntwo\nthree\n\nfour\n');
  });

  test('rows of a query are one line each, whatever lines their columns had', async () => {
    const message = '{"a": "x\\ny",\n "d": {\n  "n": 1.10,\n  "l": [1,\n 2]\n }\n}\n';
    const sql = (query: string): string =>
      `streams: [{ input: { type: memory, messages: ${JSON.stringify([message])}, codec: { type: json } }, pipeline: { processors: [{ type: sql, query: "${query}" }] }, output: { type: file, path: ${at('out.jsonl')} } }]`;
    await engineFor(sql('SELECT a, d FROM flow')).run();
    await engineFor(sql('SELECT * FROM flow')).run();
    const lines = readFileSync(at('out.jsonl'), 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { a: 'x\ny', d: { n: 1.1, l: [1, 2] } },
      { a: 'x\ny', d: { n: 1.1, l: [1, 2] } },
    ]);
  });

  test('a message that has a line break and is not JSON goes to error_output; its neighbours do not', async () => {
    await engineFor(
      `streams: [{ ${memory('one', 'two\nlines', 'three')}, output: { type: file, path: ${at('out.txt')} }, error_output: { type: file, path: ${at('errors.jsonl')} } }]`,
    ).run();
    expect(readFileSync(at('out.txt'), 'utf8')).toBe('one\nthree\n');
    const letters = readFileSync(at('errors.jsonl'), 'utf8').trimEnd().split('\n');
    expect(letters.map((letter) => JSON.parse(letter) as unknown)).toEqual([
      expect.objectContaining({
        payload: 'two\nlines',
        error: expect.objectContaining({ code: 'MILLRACE_OUTPUT_REFUSED', stage: 'output' }) as unknown,
      }),
    ]);
  });

  test('with a json codec, it is written as a JSON string instead', async () => {
    await engineFor(
      `streams: [{ ${memory('two\nlines')}, output: { type: file, path: ${at('out.jsonl')}, codec: { type: json } } }]`,
    ).run();
    expect(readFileSync(at('out.jsonl'), 'utf8')).toBe('{"__value__":"two\\nlines"}\n');
  });

  test('a write that stops half-way (no room left) is waited out: no line is lost, torn or doubled', async () => {
    const messages = Array.from({ length: 300 }, (_, index) => `${index}:${'x'.repeat(100)}`);
    writeFileSync(at('in.txt'), messages.join('\n'));
    const streams = `streams: [{ input: { type: file, path: ${at('in.txt')} }, output: { type: file, path: ${at('out.txt')} } }]`;
    const room = 16_384;
    const limited = ['--fsize=' + String(room) + ':unlimited', process.execPath, ...program(streams)];
    const child = spawn(requireTool('prlimit'), limited, { stdio: 'ignore' });
    const exited = new Promise((resolve) => {
      child.once('exit', resolve);
    });
    const size = (): number => (existsSync(at('out.txt')) ? statSync(at('out.txt')).size : 0);
    await expect.poll(size, { timeout: 10_000, interval: 1 }).toBe(room);
    execFileSync(requireTool('prlimit'), ['--pid', String(child.pid), '--fsize=unlimited']);
    expect(await exited).toBe(0);
    expect(readFileSync(at('out.txt'), 'utf8')).toBe(`${messages.join('\n')}\n`);
  });
});

test('a kill in the middle of a write leaves one torn line, and the next start begins one of its own', async () => {
  const messages = Array.from({ length: 300 }, (_, index) => `${index}:${'x'.repeat(100)}`);
  writeFileSync(at('in.txt'), messages.join('\n'));
  const streams = `streams: [{ input: { type: file, path: ${at('in.txt')} }, output: { type: file, path: ${at('out.txt')} } }]`;
  const room = 16_384;
  const child = spawn(
    requireTool('prlimit'),
    [`--fsize=${room}:unlimited`, process.execPath, ...program(streams)],
    { stdio: 'ignore' },
  );
  const exited = new Promise((resolve) => {
    child.once('exit', resolve);
  });
  const size = (): number => (existsSync(at('out.txt')) ? statSync(at('out.txt')).size : 0);
  await expect.poll(size, { timeout: 10_000, interval: 1 }).toBe(room);
  child.kill('SIGKILL');
  await exited;
  const torn = readFileSync(at('out.txt'), 'utf8');
  expect(torn.at(-1)).toBe('x');
  await engineFor(streams).run();
  expect(readFileSync(at('out.txt'), 'utf8')).toBe(`${torn}\n${messages.join('\n')}\n`);
});

describe('check --dial', () => {
  const dial = async (path: string): Promise<string | undefined> => {
    const engine = engineFor(
      `streams: [{ ${memory('x')}, output: { type: file, append: false, path: ${path} } }]`,
    );
    const reports = await engine.dial(new AbortController().signal);
    return reports.find(({ stage }) => stage === 'output')?.error?.message;
  };

  test('changes no file and makes none', async () => {
    writeFileSync(at('keep.txt'), 'precious\n');
    expect(await dial(at('keep.txt'))).toBeUndefined();
    expect(readFileSync(at('keep.txt'), 'utf8')).toBe('precious\n');
    expect(await dial(at('new/folder/out.txt'))).toBeUndefined();
    expect(existsSync(at('new'))).toBe(false);
  });

  test('says what is in the way', async () => {
    writeFileSync(at('file'), '');
    expect(await dial(folder)).toBe(`cannot write ${folder}: ${folder} is a folder`);
    expect(await dial(at('file/out.txt'))).toMatch(/cannot write .*file\/out\.txt: .*(no folder|ENOTDIR)/);
  });
});

test('a path that is a folder fails the stream at once', async () => {
  const engine = engineFor(`streams: [{ id: s, ${memory('x')}, output: { type: file, path: ${folder} } }]`);
  expect((await engine.run()).failed).toEqual(['s']);
});

describe('file output with sync', () => {
  const run = (inject: string[], sync: boolean) => {
    const streams = `streams: [{ ${memory('one', 'two')}, output: { type: file, sync: ${sync}, path: ${at('out.txt')} } }]`;
    const trace = ['-f', '-y', '-e', 'trace=fdatasync,pwrite64,write', '-o', at('trace.txt'), ...inject];
    const { status } = spawnSync(requireTool('strace'), [...trace, process.execPath, ...program(streams)]);
    const calls = readFileSync(at('trace.txt'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('out.txt'));
    return { status, calls };
  };

  test('the disk has a batch before it is confirmed', () => {
    expect(run([], false).calls.some((line) => line.includes('fdatasync'))).toBe(false);
    const { status, calls } = run([], true);
    expect(status).toBe(0);
    // The end of a call is on a line of its own when another thread comes between.
    expect(calls.at(-1)).toMatch(/fdatasync.*(?:= 0|<unfinished \.\.\.>)$/);
  });

  test('a failed sync fails the stream, because nobody knows what the disk has', () => {
    expect(run(['-e', 'inject=fdatasync:error=EIO'], true).status).toBe(1);
  });
});

describe('file input', () => {
  test('returns the lines without their ends, also a last line that has none', async () => {
    writeFileSync(at('in.txt'), 'one\r\ntwo\nthree');
    await engineFor(
      `streams: [{ input: { type: file, path: ${at('in.txt')} }, output: { type: file, path: ${at('out.txt')} } }]`,
    ).run();
    expect(readFileSync(at('out.txt'), 'utf8')).toBe('one\ntwo\nthree\n');
  });

  test.each([
    ['\uFEFFone\n\n \t\r\n\r\n  two\n\uFEFFthree\n', 'one\n  two\n\uFEFFthree\n'],
    ['\uFEFF\none', 'one\n'],
    ['\uFEFF', ''],
    ['\n', ''],
    ['', ''],
  ])('a byte order mark at the start and blank lines are not messages: %j', async (content, messages) => {
    writeFileSync(at('in.txt'), content);
    await engineFor(
      `streams: [{ input: { type: file, path: ${at('in.txt')} }, output: { type: file, path: ${at('out.txt')} } }]`,
    ).run();
    expect(readFileSync(at('out.txt'), 'utf8')).toBe(messages);
  });

  test('lines that cross the borders of reads are whole, in a file of many', async () => {
    const lines = Array.from({ length: 40_000 }, (_, index) => `${index} ${'é'.repeat(index % 40)}`);
    writeFileSync(at('in.txt'), `${lines.join('\n')}\n`);
    await engineFor(
      `streams: [{ input: { type: file, path: ${at('in.txt')} }, output: { type: file, path: ${at('out.txt')} } }]`,
    ).run();
    expect(readFileSync(at('out.txt'), 'utf8')).toBe(`${lines.join('\n')}\n`);
  });

  test('a line that is too long, or a missing file, fails the stream', async () => {
    writeFileSync(at('in.txt'), `short\n${'x'.repeat(100)}\n`);
    const tooLong = engineFor(
      `streams: [{ id: s, input: { type: file, path: ${at('in.txt')}, framing: { type: lines, max_message_size: 50 } }, output: { type: drop } }]`,
    );
    expect((await tooLong.run()).failed).toEqual(['s']);
    const missing = engineFor(
      `streams: [{ id: s, input: { type: file, path: ${at('nowhere')} }, output: { type: drop } }]`,
    );
    expect((await missing.run()).failed).toEqual(['s']);
    expect(existsSync(at('nowhere'))).toBe(false);
  });
});

describe('stdout output', () => {
  test('writes a message a line, and nothing but messages', () => {
    const out = execFileSync(process.execPath, program(`streams: [{ ${memory('{"a":1}', 'two')} }]`), {
      encoding: 'utf8',
    });
    expect(out).toBe('{"a":1}\ntwo\n');
  });

  test('with append_newline: false, payloads follow one another as they are', () => {
    const streams = `streams: [{ ${memory('a\n', 'b')}, output: { type: stdout, append_newline: false } }]`;
    expect(execFileSync(process.execPath, program(streams), { encoding: 'utf8' })).toBe('a\nb');
  });

  test('a reader that goes away ends the stream as failed, not the process with a stack trace', async () => {
    appendFileSync(at('in.txt'), 'line\n'.repeat(200_000));
    const streams = `streams: [{ input: { type: file, path: ${at('in.txt')} } }]`;
    const child = spawn(process.execPath, program(streams), { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk) => {
      errors += String(chunk);
    });
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise((resolve) => {
      child.once('exit', resolve);
    });
    expect({ code, errors }).toEqual({ code: 1, errors: '' });
  });
});
