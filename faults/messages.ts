/**
 * The messages of the campaign. The content of a message follows from its session and number alone, so that the checker
 * can tell a whole one from a damaged one without having kept it.
 */
export interface MessageId {
  readonly session: string;
  readonly number: number;
}

const MOST_FILL = 1500;

export function idOf({ session, number }: MessageId): string {
  return `${session}-${number}`;
}

/** @returns undefined for a text that is not the id of a message */
export function parseId(text: string): MessageId | undefined {
  const match = /^(s\d+)-([1-9]\d*)$/.exec(text);
  return match === null ? undefined : { session: match[1]!, number: Number(match[2]) };
}

/** Lines of 60 to 1,600 bytes, most of them short. */
export function messageOf(id: MessageId): string {
  const name = idOf(id);
  const mark = hash(name);
  const length = mark % 8 === 0 ? mark % MOST_FILL : mark % 100;
  const word = `${name}.${mark.toString(36)}.`;
  const fill = word.repeat(Math.ceil(length / word.length)).slice(0, length);
  return `{"id":"${name}","mark":${mark},"fill":"${fill}"}`;
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return value >>> 0;
}
