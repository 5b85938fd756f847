import { idOf, messageOf, parseId, type MessageId } from './messages.ts';

/** The knowledge of a session's sender. */
export interface SessionRecord {
  /** Numbers 1 to this have been sent, some perhaps more than once. */
  sent: number;
  readonly acknowledged: Set<number>;
}

/** The knowledge of all senders, by session. */
export type Ledger = Map<string, SessionRecord>;

export interface Verdict {
  readonly acknowledged: number;
  /** Ids that were acknowledged and that the sink does not have. */
  readonly lost: readonly string[];
  /** Copies of messages that the sink already had. */
  readonly duplicated: number;
  /** Ids that first came after a later one of their session. */
  readonly reordered: readonly string[];
  /** Lines that nobody sent. */
  readonly damaged: readonly string[];
  /** Lines that end in the middle, as a killed writer leaves them; their content does not count. */
  readonly torn: number;
}

/** Compares the knowledge of the senders with the content of the sink, a message in each line. */
export function check(ledger: Ledger, lines: Iterable<string>): Verdict {
  const seen = new Map([...ledger.keys()].map((session) => [session, new Set<number>()]));
  const highest = new Map<string, number>();
  const reordered: string[] = [];
  const damaged: string[] = [];
  let duplicated = 0;
  let torn = 0;
  for (const line of lines) {
    if (line === '') continue;
    const id = whole(line, ledger);
    if (id === undefined) {
      if (isStart(line)) torn++;
      else damaged.push(line.slice(0, 200));
      continue;
    }
    const { session, number } = id;
    const numbers = seen.get(session)!;
    if (numbers.has(number)) {
      duplicated++;
      continue;
    }
    numbers.add(number);
    const last = highest.get(session) ?? 0;
    if (number < last) reordered.push(idOf(id));
    highest.set(session, Math.max(last, number));
  }
  let acknowledged = 0;
  const lost: string[] = [];
  for (const [session, record] of ledger) {
    acknowledged += record.acknowledged.size;
    for (const number of record.acknowledged) {
      if (!seen.get(session)!.has(number)) lost.push(idOf({ session, number }));
    }
  }
  return { acknowledged, lost, duplicated, reordered, damaged, torn };
}

/** The id of a line that equals a sent message, to the last byte. */
function whole(line: string, ledger: Ledger): MessageId | undefined {
  const id = parseId(/^\{"id":"([^"]*)"/.exec(line)?.[1] ?? '');
  if (id === undefined || line !== messageOf(id)) return undefined;
  return id.number <= (ledger.get(id.session)?.sent ?? 0) ? id : undefined;
}

/** True if a message starts like this and continues. */
function isStart(line: string): boolean {
  const id = parseId(/^\{"id":"([^"]*)"/.exec(line)?.[1] ?? '');
  if (id !== undefined) return messageOf(id).startsWith(line) && line.length < messageOf(id).length;
  return '{"id":"'.startsWith(line) || /^\{"id":"(?:s\d*(?:-\d*)?)?$/.test(line);
}
