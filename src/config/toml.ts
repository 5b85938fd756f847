import { parse, TomlError } from 'smol-toml';
import { type Finding, Places, type SourceDocument } from './document.ts';
import { locateToml } from './toml-places.ts';

const MAX_FINDINGS = 20;

/** Reads TOML, with the place of each value. */
export function readToml(text: string): SourceDocument {
  const findings: Finding[] = [];
  const lines = text.split('\n');
  for (;;) {
    try {
      // Otherwise an integer that no double holds would be a mistake.
      const value = withoutBigInts(parse(lines.join('\n'), { integersAsBigInt: 'asNeeded' }));
      if (findings.length === 0) return { value, ...locateToml(text), findings, broken: false };
      break;
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
      const before = lines.slice(0, error.line - 1).join('\n').length + (error.line > 1 ? 1 : 0);
      const message = error.message.split('\n')[0]!.replace('Invalid TOML document: ', '');
      findings.push({ path: [], offset: before + error.column - 1, message: `not valid TOML: ${message}` });
      // The parser stops at its first mistake. If that is on a line of its own, parse again without the line to find
      // the others.
      const line = lines[error.line - 1] ?? '';
      if (findings.length === MAX_FINDINGS || !standsAlone(line)) break;
      lines[error.line - 1] = ' '.repeat(line.length);
    }
  }
  return { value: undefined, places: new Places(text), numbers: new Map(), findings, broken: true };
}

/** With doubles, as everywhere; the digits are kept beside. */
function withoutBigInts(node: unknown): unknown {
  if (typeof node === 'bigint') return Number(node);
  if (typeof node !== 'object' || node === null || node instanceof Date) return node;
  if (Array.isArray(node)) return node.map(withoutBigInts);
  return Object.fromEntries(Object.entries(node).map(([key, each]) => [key, withoutBigInts(each)]));
}

/** Whether the line is a whole `name = value`, as far as a line with a mistake shows. */
function standsAlone(line: string): boolean {
  if (!/^\s*[\w."'-]+\s*=/.test(line) || line.includes('"""') || line.includes("'''")) return false;
  const opened = line.match(/[[{]/g)?.length ?? 0;
  const closed = line.match(/[\]}]/g)?.length ?? 0;
  return opened === closed;
}
