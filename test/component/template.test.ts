import { describe, expect, test } from 'vitest';
import { Template, type TemplateNames } from '../../src/component/template.ts';

const names: TemplateNames = { plain: 'a name', 'with:': 'a name with an argument' };
const values = (name: string, argument?: string): string | undefined =>
  name === 'plain' ? 'P' : argument === 'missing' ? undefined : `<${argument}>`;
const render = (text: string): string => Template.parse(text, names).render(values);

test.each([
  ['', ''],
  ['no names', 'no names'],
  ['{{plain}}', 'P'],
  ['a{{plain}}b{{plain}}c', 'aPbPc'],
  ['{{ plain }}', 'P'],
  ['{{with:x}}', '<x>'],
  ['{{with:a:b/c d}}', '<a:b/c d>'],
  ['{{with:missing:-fallback}}', 'fallback'],
  ['{{with:missing:-}}', ''],
  ['{{with:missing:-a:-b}}', 'a:-b'],
  ['{{with:x:-unused}}', '<x>'],
  ['{{plain:-unused}}', 'P'],
  ['{{{{plain}}', '{{plain}}'],
  ['{{{{{{plain}}', '{{P'],
  ['{ plain } }}', '{ plain } }}'],
  ['{"a":{"b":"{{plain}}"}}', '{"a":{"b":"P"}}'],
  ['ä{{plain}}€', 'äP€'],
])('%s becomes %s', (text, expected) => {
  expect(render(text)).toBe(expected);
});

test('a filled-in value is not read as a template again', () => {
  expect(Template.parse('{{plain}}', names).render(() => '{{with:x}}')).toBe('{{with:x}}');
});

test('`encode` sees each value, defaults too, and not the text around them', () => {
  const template = Template.parse('a b/{{with:x y}}/{{with:missing:-c d}}', names);
  expect(template.render(values, encodeURIComponent)).toBe('a b/%3Cx%20y%3E/c%20d');
});

test('an empty value is a value', () => {
  expect(Template.parse('[{{plain:-default}}]', names).render(() => '')).toBe('[]');
});

describe('without a value', () => {
  test('render throws, and names it with its argument', () => {
    expect(() => render('x {{with:missing}}')).toThrow(
      '{{with:missing}} has no value now; give it a default, as {{with:missing:-default}}',
    );
  });

  test('tryRender gives undefined', () => {
    expect(Template.parse('x {{with:missing}}', names).tryRender(values)).toBeUndefined();
    expect(Template.parse('x {{plain}}', names).tryRender(values)).toBe('x P');
  });
});

describe('a mistake', () => {
  test.each([
    '{{nothing}}',
    '{{Plain}}',
    '{{plain:x}}',
    '{{with}}',
    '{{with:}}',
    '{{}}',
    '{{constructor}}',
    '{{__proto__}}',
  ])('%s has an unknown name, and is not quoted', (text) => {
    expect(() => render(text)).toThrow(
      'a {{…}} of an unknown name; known here: {{plain}}, {{with:…}}; {{{{ is a literal {{',
    );
  });

  test.each(['{{plain', 'x {{plain} }', '{{{{ {{plain'])('%s is not closed', (text) => {
    expect(() => render(text)).toThrow('a {{ that is not closed');
  });
});

test('`constant` and `uses` describe its contents', () => {
  expect(Template.parse('a {{{{plain}}', names).constant).toBe(true);
  expect(Template.parse('a {{{{plain}}', names).uses('plain')).toBe(false);
  expect(Template.parse('a {{with:x}}', names).constant).toBe(false);
  expect(Template.parse('a {{with:x}}', names).uses('with')).toBe(true);
  expect(Template.parse('a {{with:plain}}', names).uses('plain')).toBe(false);
});
