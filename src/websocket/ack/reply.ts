import { Template, type TemplateNames } from '../../component/template.ts';
import { compileOutgoing, type OutgoingConfig } from '../messages.ts';

/** What `{{…}}` may name in the reply to a message that is confirmed. */
export const replyNames: TemplateNames = {
  id: 'what is at `id` of the message; without `id`, its number in the session',
  ids: 'with `batch`: the ids of all messages that are confirmed together, as a JSON list without its brackets',
  sequence: 'the message’s number in the session, from 1',
};

/** What it may name in the reply to one that is rejected. */
export const rejectReplyNames: TemplateNames = {
  id: replyNames['id']!,
  sequence: replyNames['sequence']!,
  code: 'the code of the error',
  reason: 'one sentence that says what the code means',
};

/**
 * The value of a name, or undefined when there is none. `token` asks for it as JSON has it, a string with its quotes;
 * otherwise it is plain text.
 */
export type ReplyValues = (name: string, token: boolean) => string | undefined;

/** A reply, ready to be filled in. */
export interface Reply {
  readonly binary: boolean;
  readonly uses: ReadonlySet<string>;
  /** The names that stand inside a JSON string. */
  readonly quoted: ReadonlySet<string>;
  /** Undefined when a name in it has neither a value nor a default. */
  render(values: ReplyValues): string | Buffer | undefined;
}

/** Stands where something is filled in; no text has it. */
const MARK = '\0';

/**
 * A reply of JSON stays JSON whatever is filled in: what stands inside quotes is escaped, what stands outside of them is
 * a JSON value of its own. Any other text gets what is filled in as it is.
 * @throws Error when a template in it is wrong
 */
export function compileReply(config: OutgoingConfig, names: TemplateNames): Reply {
  const fixed = binaryOf(config, names);
  if (fixed !== undefined) return fixed;
  const template = Template.parse(typeof config === 'string' ? config : JSON.stringify(config), names);
  const places: string[] = [];
  const marked = template.render((name) => {
    places.push(name);
    return MARK;
  });
  const inside = isJson(marked) ? placesInside(marked) : undefined;
  return {
    binary: false,
    uses: new Set(places),
    quoted: new Set(places.filter((_, place) => inside?.[place] === true)),
    render(values) {
      let place = 0;
      return template.tryRender((name) => {
        const where = inside?.[place++];
        const value = values(name, where === false);
        return where === true && value !== undefined ? escaped(value) : value;
      });
    },
  };
}

function binaryOf(config: OutgoingConfig, names: TemplateNames): Reply | undefined {
  if (typeof config === 'string') return undefined;
  const { payload, binary } = compileOutgoing(config, names)(() => '');
  return binary ? { binary, uses: new Set(), quoted: new Set(), render: () => payload } : undefined;
}

/** Whether the text is an object, a list or a string; something else is more likely to be meant as text. */
function isJson(marked: string): boolean {
  if (!/^\s*[[{"]/.test(marked)) return false;
  try {
    JSON.parse(marked.replaceAll(MARK, '0'));
    return true;
  } catch {
    return false;
  }
}

/** For each place of JSON text whether it is inside a string. */
function placesInside(marked: string): boolean[] {
  const places: boolean[] = [];
  let inside = false;
  for (let at = 0; at < marked.length; at++) {
    const character = marked[at];
    if (character === MARK) places.push(inside);
    else if (character === '"') inside = !inside;
    else if (character === '\\') at++;
  }
  return places;
}

/** The text as it stands inside the quotes of a JSON string. */
function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
