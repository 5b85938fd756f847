/** Text that replaces a part of a query, from `start` up to and not including `end`. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A place in a text: both count from 1, the column in characters. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** An edited query, and the way back from its places to those of the text as the user wrote it. */
export interface Edited {
  readonly text: string;
  readonly original: (place: Place) => Place;
}

/** A query as it is. */
export function unedited(text: string): Edited {
  return { text, original: (place) => place };
}

/** `edits` do not overlap; of two at one place, the first comes first. */
export function edit(before: Edited, edits: readonly Edit[]): Edited {
  if (edits.length === 0) return before;
  const inOrder = edits.toSorted((a, b) => a.start - b.start);
  let text = '';
  let done = 0;
  for (const { start, end, text: replacement } of inOrder) {
    text += before.text.slice(done, start) + replacement;
    done = end;
  }
  text += before.text.slice(done);
  const original = (place: Place): Place => {
    const at = offsetOf(text, place);
    // `shift`: how far the edited text is ahead of the one before.
    let shift = 0;
    for (const { start, end, text: replacement } of inOrder) {
      if (start + shift >= at) break;
      const within = start + shift + replacement.length > at;
      // A place within a replacement is the beginning of the replaced part.
      if (within) return before.original(placeAt(before.text, start));
      shift += replacement.length - (end - start);
    }
    return before.original(placeAt(before.text, at - shift));
  };
  return { text, original };
}

/** The offset of a place in a text. */
export function offsetOf(text: string, { line, column }: Place): number {
  let at = 0;
  for (let each = 1; each < line; each++) {
    const end = text.indexOf('\n', at);
    if (end < 0) return text.length;
    at = end + 1;
  }
  return (
    at +
    Array.from(text.slice(at))
      .slice(0, column - 1)
      .join('').length
  );
}

export function placeAt(text: string, offset: number): Place {
  const lines = text.slice(0, offset).split('\n');
  return { line: lines.length, column: Array.from(lines.at(-1)!).length + 1 };
}
