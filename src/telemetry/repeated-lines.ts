import type { Logger } from './logger.ts';

/** Of one kind, so many lines are logged in full within a period. */
const FIRST_LINES = 10;

/** Milliseconds. */
const PERIOD = 10_000;

/** So many senders are named in a summary; the others are counted together. */
const MAX_SENDERS = 8;

/** Of a line and of a sender, so many characters are kept for the summary. */
const KEPT_CHARACTERS = 300;

/** A line that a peer can cause as often as it likes. */
export interface RepeatedLine {
  /** Lines of one kind are summed up together. Never made of what a peer sends: kinds are kept. */
  readonly kind: string;
  readonly level: 'info' | 'warn' | 'error';
  /** Who caused it, as the operator knows it. */
  readonly sender?: string | undefined;
  /** What is the same for all lines of the kind, for the summary. */
  readonly about?: Readonly<Record<string, unknown>>;
  /** Called only where the line is written. */
  readonly details: () => Readonly<Record<string, unknown>>;
  readonly message: string;
}

interface Kind {
  readonly logger: Logger;
  readonly timer: NodeJS.Timeout;
  /** Lines in this period, and how many of them may be logged in full. */
  count: number;
  allowed: number;
  /** Of those that were not. */
  hidden: number;
  last: RepeatedLine;
  readonly senders: Map<string, number>;
}

/**
 * Keeps what peers cause from filling the log: of each kind the first lines are logged in full, and the others as one line
 * a period with their number and their senders, until there are few again. At level `debug` each is still logged.
 */
export class RepeatedLines {
  readonly #kinds = new Map<string, Kind>();

  log(logger: Logger, line: RepeatedLine): void {
    let kind = this.#kinds.get(line.kind);
    if (kind === undefined) {
      const timer = setInterval(() => this.#turn(line.kind), PERIOD).unref();
      kind = { logger, timer, count: 0, allowed: FIRST_LINES, hidden: 0, last: line, senders: new Map() };
      this.#kinds.set(line.kind, kind);
    }
    kind.count++;
    if (kind.count <= kind.allowed) return logger[line.level](line.details(), line.message);
    kind.hidden++;
    kind.last = line;
    const sender = shortened(line.sender ?? '');
    const known = kind.senders.get(sender);
    if (known !== undefined || kind.senders.size < MAX_SENDERS) kind.senders.set(sender, (known ?? 0) + 1);
    if (logger.isLevelEnabled('debug')) logger.debug(line.details(), line.message);
  }

  /** Tells what has not been told, and forgets everything. */
  flush(): void {
    for (const kind of this.#kinds.values()) {
      clearInterval(kind.timer);
      sumUp(kind);
    }
    this.#kinds.clear();
  }

  /** A period is over. */
  #turn(name: string): void {
    const kind = this.#kinds.get(name)!;
    const quiet = kind.count <= FIRST_LINES;
    sumUp(kind);
    if (quiet) {
      clearInterval(kind.timer);
      this.#kinds.delete(name);
    }
    kind.count = 0;
    // It goes on: one line a period is enough.
    kind.allowed = 0;
    kind.hidden = 0;
    kind.senders.clear();
  }
}

function sumUp({ logger, hidden, senders, last: { level, about, message } }: Kind): void {
  if (hidden === 0) return;
  const named = [...senders].filter(([sender]) => sender !== '').toSorted(([, a], [, b]) => b - a);
  const others = hidden - named.reduce((sum, [, count]) => sum + count, 0);
  const parts = named.map(([sender, count]) => `${sender} (${count})`);
  if (parts.length > 0 && others > 0) parts.push(`others (${others})`);
  const from = parts.length === 0 ? '' : `, from ${parts.join(', ')}`;
  logger[level](
    { ...about, repeated: hidden },
    `${hidden} more in ${PERIOD / 1000} s${from}, the last one: ${shortened(message)}`,
  );
}

function shortened(text: string): string {
  return text.length > KEPT_CHARACTERS ? `${text.slice(0, KEPT_CHARACTERS)}…` : text;
}
