import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { components, registry } from '../../src/components/index.ts';
import { parseConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problem.ts';
import { blocks, pages, readPage, root, withoutBlocks } from './pages.ts';

/** Something for every variable that a file names. */
function environment(text: string): Record<string, string> {
  return Object.fromEntries(Array.from(text.matchAll(/\$\{([A-Za-z_]\w*)/g), ([, name]) => [name!, 'x']));
}

function mistakes(text: string, file: string, env: Record<string, string>): string {
  try {
    parseConfig(text, { registry, env, file });
    return '';
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

const all = pages().flatMap((page) => blocks(page));

test('every block of YAML that is not marked as a fragment or as invalid is a file without mistakes', () => {
  const files = all.filter(({ info }) => info === 'yaml');
  expect(files.length).toBeGreaterThan(10);
  for (const { page, line, text } of files) {
    expect(mistakes(text, `${page}, block at line ${line}`, environment(text))).toBe('');
  }
  expect(
    all.filter(({ info }) => /^ya?ml/.test(info) && !/^yaml( fragment| invalid| file=\S+)?$/.test(info)),
  ).toEqual([]);
});

test('a block of YAML with mistakes is followed by exactly Millrace’s messages', () => {
  const wrong = all.filter(({ info }) => info === 'yaml invalid');
  expect(wrong.length).toBeGreaterThan(0);
  for (const block of wrong) {
    const answer = all[all.indexOf(block) + 1];
    const file = answer?.text.split(':')[0] ?? '';
    expect(`${mistakes(block.text, file, {})}\n`, `${block.page}, line ${block.line}`).toBe(answer?.text);
  }
});

test.each(
  components.flatMap(({ kind, type, examples }) => examples.map((each) => ({ kind, type, ...each }))),
)('the example “$title” of the $kind $type is without mistakes', ({ kind, yaml }) => {
  const component: unknown = parse(yaml);
  if (kind === 'framing') {
    expect(registry.schemas.framing.safeParse(component).error).toBeUndefined();
    return;
  }
  const input = { type: 'generate', context: 'a' };
  const streams = {
    input: { input: component },
    buffer: { input, buffer: component },
    processor: { input, pipeline: { processors: [component] } },
    output: { input, output: component, error_output: component },
    codec: { input: { ...input, codec: component } },
  };
  expect(mistakes(stringify([streams[kind]]), 'example', environment(yaml))).toBe('');
});

test('the README begins with the stream that `npm start` runs, in twelve lines', () => {
  const [block] = blocks('README.md');
  expect(block?.text.trimEnd().split('\n').length).toBe(12);
  const example = readFileSync(join(root, 'examples/quickstart.yaml'), 'utf8');
  /** The first stream, with the line breaks of its query as spaces. */
  const first = (text: string): string => {
    const { streams } = parse(text) as { streams: unknown[] };
    return JSON.stringify(streams[0]).replaceAll('\\n', ' ').replaceAll(/ +/g, ' ');
  };
  expect(JSON.parse(first(block!.text))).toEqual(JSON.parse(first(example)));
});

/** As GitHub makes the anchor of a heading. */
function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');
}

test('every link to a file or a heading leads somewhere', () => {
  const broken: string[] = [];
  for (const page of [...pages(), 'CHANGELOG.md']) {
    for (const [, target] of withoutBlocks(readPage(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [path = '', anchor] = target!.split('#');
      const file = path === '' ? page : normalize(join(dirname(page), path));
      const found = existsSync(join(root, file));
      const headings =
        found && anchor !== undefined ? withoutBlocks(readPage(file)).matchAll(/^#+ (.+)$/gm) : [];
      const anchors = Array.from(headings, ([, heading]) => slug(heading!));
      if (!found || (anchor !== undefined && !anchors.includes(anchor))) broken.push(`${page}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});

test('every test that a page names exists', () => {
  const named = pages().flatMap((page) =>
    Array.from(readPage(page).matchAll(/`(test\/[\w./-]+\.test\.ts)`/g), ([, path]) => ({
      page,
      path: path!,
    })),
  );
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(({ path }) => !existsSync(join(root, path)))).toEqual([]);
});

test('every example that a page names exists', () => {
  const named = pages().flatMap((page) =>
    Array.from(readPage(page).matchAll(/(?<!test\/)\bexamples\/[\w./-]+\.\w+/g), ([path]) => ({
      page,
      path,
    })),
  );
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(({ path }) => !existsSync(join(root, path)))).toEqual([]);
});

test('every source file that a page names exists', () => {
  const named = pages().flatMap((page) =>
    Array.from(readPage(page).matchAll(/`(src\/[\w./-]*(?:\/|\.ts))`/g), ([, path]) => ({
      page,
      path: path!,
    })),
  );
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter(({ path }) => !existsSync(join(root, path)))).toEqual([]);
});
