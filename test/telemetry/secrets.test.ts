import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createMasker } from '../../src/telemetry/secrets.ts';

const secret = 'S3cr"et/ü +=k\\y';
const mask = createMasker([secret, 'prod', 'LS0tKEY0123456789']);

test.each([
  ['as it is', `a ${secret}.`, 'a ***.'],
  ['in another case', secret.toUpperCase(), '***'],
  ['inside of words', `x${secret}y`, 'x***y'],
  ['percent-encoded', `/x/${encodeURIComponent(secret)}?y`, '/x/***?y'],
  ['percent-encoded twice', encodeURIComponent(encodeURIComponent(secret)), '***'],
  ['percent-encoded in lower case', encodeURIComponent(secret).toLowerCase(), '***'],
  ['percent-encoded in part', encodeURI(secret), '***'],
  ['as a form has it', new URLSearchParams({ k: secret }).toString(), 'k=***'],
  ['in JSON', JSON.stringify({ k: secret }), '{"k":"***"}'],
  [
    'in JSON inside of JSON',
    JSON.stringify(JSON.stringify(JSON.stringify({ k: secret }))),
    expect.not.stringMatching(/cr/),
  ],
  [
    'in JSON that is escaped to ASCII',
    JSON.stringify(secret).replace('ü', '\\u00fc').replace('/', '\\/'),
    '"***"',
  ],
])('%s it is masked', (_, text, masked) => {
  expect(mask(text)).toEqual(masked);
});

test('in base64 it is masked wherever it begins, with the base64 around it', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (before, after) => {
      const text = Buffer.from(`${before}${secret}${after}`);
      for (const encoding of ['base64', 'base64url'] as const) {
        expect(mask(`Basic ${text.toString(encoding)} x`)).toMatch(
          /^Basic (?:[\w+/-]*\/)?\*\*\*(?:\/[\w+/=-]*)? x$/,
        );
      }
    }),
  );
});

test('it is masked whichever part of it is percent-encoded', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 2 }), { minLength: secret.length, maxLength: secret.length }),
      (how) => {
        const text = Array.from(secret).map((character, at) => {
          const percent = Array.from(
            Buffer.from(character),
            (byte) => `%${byte.toString(16).padStart(2, '0')}`,
          ).join('');
          return [character, percent, percent.replaceAll('%', '%25')][how[at]!];
        });
        expect(mask(`<${text.join('')}>`)).toBe('<***>');
      },
    ),
  );
});

test('a short one is masked as a word, and not inside other words', () => {
  expect(mask('prod, PROD: "prod" (prod) /prod/ product reprod prod1')).toBe(
    '***, ***: "***" (***) /***/ product reprod prod1',
  );
});

test('values that reveal nothing are shown', () => {
  const idle = createMasker(['', 'abc', '8080', 'true', 'localhost', '127.0.0.1', '0.0.0.0', ' on ']);
  const text = 'listening on 127.0.0.1:8080 abc true localhost 0.0.0.0';
  expect(idle(text)).toBe(text);
});

test('a longer one is masked before one that it contains, and so is each line of a key', () => {
  expect(createMasker(['secret', 'secret-of-ours'])('a secret-of-ours secret')).toBe('a *** ***');
  const pem = '-----BEGIN KEY-----\nMIIBVgIBADANBgkqhk\niG9w0BAQEFAASCAUAw\n-----END KEY-----\n';
  expect(createMasker([pem])('line MIIBVgIBADANBgkqhk')).toBe('line ***');
  const long = 'ab%"'.repeat(200);
  for (const text of [long, JSON.stringify(long).slice(1, -1), encodeURIComponent(long)]) {
    expect(createMasker([long])(`<${text}>`)).toBe('<***>');
  }
});
