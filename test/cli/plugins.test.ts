import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { cliProcess } from '../support/cli.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();

/** A module with a component of each kind, as a stranger would write it. */
dir.file(
  'shop.ts',
  `import { createReceipt, declareErrors, defineCodec, defineFraming, defineInput, defineOutput, defineProcessor, Batch, EndOfInputError, framingError, MillraceError, secret, z } from 'millrace';

const errors = declareErrors({
  SHOP_TOO_DEAR: { help: 'It costs more than the shop has.', told: 'it is too dear' },
});
const common = { status: 'stable', examples: [] } as const;

export const till = defineInput({
  ...common,
  type: 'till',
  summary: 'Gives prices.',
  schema: z.strictObject({ prices: z.array(z.int()).describe('The prices.') }),
  create({ prices }, { name = 'till' }) {
    let left = [...prices];
    return {
      connect: async () => {},
      read: async () => {
        if (left.length === 0) throw new EndOfInputError();
        const payloads = left.map((price) => Buffer.from(String(price)));
        left = [];
        const runs = [{ start: 0, origin: { source: name, ext: {} }, time: Date.now() * 1000 }];
        return { batch: new Batch(payloads, { runs }), receipt: createReceipt({ settled: () => {} }) };
      },
      close: async () => {},
    };
  },
});

export const ceiling = defineProcessor({
  ...common,
  type: 'ceiling',
  summary: 'Refuses what is too dear.',
  schema: z.strictObject({ at: z.int().min(1).describe('The highest price.'), token: secret().optional().describe('Unused.') }),
  create({ at }, { metrics }) {
    const refused = metrics.counter({ name: 'refused_total', help: 'Prices refused.' });
    return {
      process(batch, { reject }) {
        const dear = [...batch.payloads.keys()].filter((index) => Number(batch.payloads[index]) > at);
        for (const index of dear) reject({ index, error: new MillraceError(errors.SHOP_TOO_DEAR, 'over the ceiling') });
        refused.add(dear.length);
        return [batch.without(dear)];
      },
    };
  },
});

export const slashes = defineFraming({
  ...common,
  type: 'slashes',
  summary: 'Messages with slashes between them.',
  schema: z.strictObject({ double: z.boolean().default(false).describe('Two slashes.') }),
  create({ double }) {
    const mark = Buffer.from(double ? '//' : '/');
    let rest = Buffer.alloc(0);
    return {
      binary: false,
      overhead: mark.length,
      terminator: mark,
      decoder: () => ({
        push(bytes, out) {
          rest = Buffer.concat([rest, bytes]);
          for (let end = rest.indexOf(mark); end >= 0; end = rest.indexOf(mark)) {
            out.add(rest.subarray(0, end));
            rest = rest.subarray(end + mark.length);
          }
        },
        flush(out) {
          if (rest.length > 0) out.reject(rest, framingError('no slash behind it'));
          rest = Buffer.alloc(0);
        },
      }),
      fit: (payload) => payload,
      join: (messages) => Buffer.concat(messages.flatMap((message) => [message, mark])),
    };
  },
});

export const cents = defineCodec({
  ...common,
  type: 'cents',
  summary: 'Prices in cents.',
  schema: z.strictObject({}),
  create: () => ({
    decode: (batch) => batch,
    encode: (batch) => batch.withPayloads(batch.payloads.map((payload) => Buffer.from(payload + '00'))),
  }),
});
`,
);

/** A package that is installed beside the files, and has one component. */
const packageFolder = join(dir.path, 'node_modules', 'price-tags');
mkdirSync(packageFolder, { recursive: true });
dir.file(
  'node_modules/price-tags/package.json',
  JSON.stringify({ name: 'price-tags', version: '1.0.0', type: 'module', exports: { import: './index.js' } }),
);
dir.file(
  'node_modules/price-tags/index.js',
  `import { defineProcessor, z } from 'millrace/component';
export default defineProcessor({
  type: 'tag', summary: 'Puts a tag on.', status: 'beta', examples: [],
  schema: z.strictObject({ text: z.string().describe('The tag.') }),
  create: ({ text }) => ({ process: (batch) => [batch.withPayloads(batch.payloads.map((each) => Buffer.from(text + each)))] }),
});
`,
);

const shop = dir.file(
  'shop.yaml',
  `plugins: [./shop.ts, price-tags]
health_check: { enabled: false }
streams:
  - id: s
    input: { type: till, prices: [5, 900, 7] }
    pipeline:
      processors:
        - { type: ceiling, at: 100 }
        - { type: tag, text: "$" }
    output: { type: stdout, codec: { type: cents } }
    error_output: { type: file, path: ${join(dir.path, 'rejected.jsonl')} }
`,
);

test('a file’s plugins run: an input, a processor and a codec of a module beside it, and a processor of a package', async () => {
  expect(await cliProcess(['check', shop])).toEqual({
    code: 0,
    stdout: `${shop}: OK, 1 stream\n`,
    stderr: '',
  });
  // Wherever it is started from: paths go from the file.
  const { code, stdout, stderr } = await cliProcess(['run', shop], { cwd: '/' });
  expect({ code, stdout }).toEqual({ code: 0, stdout: '$500\n$700\n' });
  expect(stderr).toContain('over the ceiling');
  const [letter, ...others] = readFileSync(join(dir.path, 'rejected.jsonl'), 'utf8').trim().split('\n');
  expect(others).toEqual([]);
  expect(JSON.parse(letter!)).toMatchObject({
    payload: '900',
    error: { code: 'SHOP_TOO_DEAR', stage: 'processor', message: 'over the ceiling' },
  });

  const cheaper = dir.file('cheaper.yaml', readFileSync(shop, 'utf8').replace('at: 100', 'at: 1000'));
  const rejected = dir.file('letters.jsonl', `${letter!}\n`);
  const replay = ['replay', rejected, '--to', cheaper, '--code', 'SHOP_TOO_DEAR'];
  expect(await cliProcess(replay)).toEqual({ code: 0, stdout: '$90000\n', stderr: 'replayed 1 of 1\n' });
});

test('a framing of a plugin is one for every input and output, with the fields of all framings', async () => {
  const rejected = join(dir.path, 'slashes.jsonl');
  const file = dir.file(
    'slashes.yaml',
    `plugins: [./shop.ts]
health_check: { enabled: false }
streams:
  - input: { type: memory, messages: [a/b/, c/d, e//f/], framing: { type: slashes, max_messages: 2 } }
    output: { type: stdout, framing: { type: slashes, double: true } }
    error_output: { type: file, path: ${rejected} }
`,
  );
  const { code, stdout } = await cliProcess(['run', file]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'a//b//c//e////' });
  const letters = readFileSync(rejected, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(letters).toMatchObject([
    { payload: 'd', error: { code: 'MILLRACE_FRAMING_INVALID', message: 'no slash behind it' } },
    { payload: 'f/', error: { code: 'MILLRACE_FRAMING_INVALID' } },
  ]);
});

test('they are listed, and are in the JSON Schema', async () => {
  const { stdout: all } = await cliProcess(['list', '--config', shop]);
  expect(all).toMatch(/^ {2}ceiling +stable {2}Refuses what is too dear\.$/m);
  expect(all).toMatch(/^ {2}tag +beta {4}Puts a tag on\.$/m);
  expect(all).toMatch(/^ {2}websocket +/m);
  const { stdout: one } = await cliProcess(['list', 'ceiling', '-c', shop]);
  expect(one).toContain('  at     integer, required\n      The highest price.\n');
  expect(one).toContain('  token  string, secret\n');

  const { stdout } = await cliProcess(['schema', '-c', shop]);
  const schema = JSON.parse(stdout) as Record<string, unknown>;
  const validate = new Ajv({ strict: false }).compile(schema);
  const file = (at: unknown) => ({
    plugins: ['./shop.ts'],
    streams: [{ input: { type: 'till', prices: [1] }, pipeline: { processors: [{ type: 'ceiling', at }] } }],
  });
  expect(validate(file(1))).toBe(true);
  expect(validate(file(0))).toBe(false);
});

test('a file with other mistakes still tells which components it may name', async () => {
  const wrong = dir.file('wrong.yaml', 'plugins: [./shop.ts]\nstreams: [{ input: { type: tills } }]\n');
  const { code, stdout } = await cliProcess(['list', 'till', '-c', wrong]);
  expect({ code, first: stdout.split('\n')[0] }).toEqual({ code: 0, first: 'input till (stable)' });
  const checked = await cliProcess(['check', wrong]);
  expect(checked.stderr).toMatch(/^\S+wrong\.yaml:2:28: streams\[0\]\.input\.type: .*did you mean till\?/);
});

const define = (type: string, schema = 'z.strictObject({})'): string =>
  `import { defineOutput, z } from 'millrace';
export const it = defineOutput({ type: ${JSON.stringify(type)}, summary: 'x', status: 'stable', examples: [], schema: ${schema}, create: () => ({}) });`;
dir.file('twice.mjs', define('till2'));
dir.file('ours.mjs', define('file'));
dir.file('dash.mjs', define('my-output'));
dir.file('throws.mjs', 'const price = undefined;\n\n  price.toString();\n');
dir.file('syntax.ts', 'export const = 1;\n');
dir.file('nothing.js', 'exports.x = 1;\n');
dir.file('schema.mjs', define('odd', "() => { throw new Error('no schema today'); }"));
dir.file('imports.mjs', "import 'not-installed';\n");

test.each([
  ['./none.ts', 'there is no such file'],
  ['no-such-package', /cannot be loaded: Cannot find package 'no-such-package'/],
  ['./imports.mjs', /cannot be loaded: Cannot find package 'not-installed' imported from \S+imports\.mjs/],
  [
    './throws.mjs',
    /cannot be loaded: Cannot read properties of undefined \(reading 'toString'\), at \S+throws\.mjs:3:9$/,
  ],
  ['./syntax.ts', /cannot be loaded: /],
  ['./nothing.js', 'exports no component; expected the result of defineInput or a similar function'],
  ['./ours.mjs', 'defines the output file, which already exists; expected a type of its own'],
  ['./dash.mjs', 'defines the output my-output; expected a type in snake_case'],
  ['./schema.mjs', 'defines the output odd, whose schema cannot be used: no schema today'],
])('%s is a mistake of the file, before anything starts', async (plugin, message) => {
  const file = dir.file(
    'mistake.yaml',
    `plugins:\n  - ./shop.ts\n  - ${plugin}\nstreams: [{ input: { type: till, prices: [] } }]\n`,
  );
  const { code, stdout, stderr } = await cliProcess(['check', file]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  const [first, last] = stderr.trimEnd().split('\n');
  const start = `${file}:3:5: plugins[1]: `;
  expect(first!.slice(0, start.length)).toBe(start);
  expect(first!.slice(start.length)).toEqual(
    typeof message === 'string' ? message : expect.stringMatching(message),
  );
  expect(last).toBe('1 mistake; nothing was started (MILLRACE_CONFIG_INVALID)');
});

test('an error that a component throws when it is created is a mistake at its place, without a stack', async () => {
  dir.file(
    'unmade.mjs',
    `import { defineProcessor, z } from 'millrace';
const common = { summary: 'x', status: 'stable', examples: [], schema: z.strictObject({ at: z.int() }) };
export const unmade = defineProcessor({ ...common, type: 'unmade', create({ at }) { return { process: at.missing.call() }; } });
`,
  );
  const file = dir.file(
    'unmade.yaml',
    `plugins: [./unmade.mjs]
streams:
  - input: { type: generate, context: a }
    pipeline:
      processors:
        - type: unmade
          at: 1
`,
  );
  const { code, stdout, stderr } = await cliProcess(['run', file]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  const [first, ...others] = stderr.trimEnd().split('\n');
  expect(first).toMatch(
    /unmade\.yaml:6:11: streams\[0\]\.pipeline\.processors\[0\]: Cannot read properties of undefined \(reading 'call'\), at \S+unmade\.mjs:3:\d+$/,
  );
  expect(others).toEqual(['1 mistake; nothing was started (MILLRACE_CONFIG_INVALID)']);
});

test('a type that two modules define is a mistake at the second', async () => {
  dir.file('again.mjs', define('till2'));
  const file = dir.file('again.yaml', 'plugins: [./twice.mjs, ./again.mjs]\nstreams: []\n');
  const { stderr } = await cliProcess(['check', file]);
  expect(stderr).toContain(`${file}:1:24: plugins[1]: defines the output till2, which already exists`);
});

test('a value that is not a list of modules is reported as any mistake', async () => {
  const file = dir.file(
    'odd.yaml',
    'plugins: ./shop.ts\nstreams: [{ input: { type: generate, context: a } }]\n',
  );
  const { stderr } = await cliProcess(['check', file]);
  expect(stderr).toMatch(/odd\.yaml:1:10: plugins: /);
});
