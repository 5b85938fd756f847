import type { Logger } from './logger.ts';

/** The number of lines of one kind that are logged in full within a period. */
const FIRST_LINES = 10;

/** Milliseconds. */
const PERIOD = 10_000;

/** The number of senders named in a summary; the others are counted together. */
const MAX_SENDERS = 8;

/** The number of characters of a line, and of a sender, that are kept for the summary. */
const KEPT_CHARACTERS = 300;

/** A line that a peer can cause as often as it likes. */
export interface RepeatedLine {
  /** Lines of one kind are summed up together. A kind is never made from what a peer sends, because kinds are kept. */
  readonly kind: string;
  readonly level: 'info' | 'warn' | 'error';
  /** The cause, as the operator knows it. */
  readonly sender?: string | undefined;
  /** The details that all lines of the kind share, for the summary. */
  readonly about?: Readonly<Record<string, unknown>>;
  /** Called only if the line is written. */
  readonly details: () => Readonly<Record<string, unknown>>;
  readonly message: string;
}

interface Kind {
  readonly logger: Logger;
  readonly timer: NodeJS.Timeout;
  /** Lines in this period, and the number of them that may be logged in full. */
  count: number;
  allowed: number;
  /** The senders of the others. */
  hidden: number;
  last: RepeatedLine;
  readonly senders: Map<string, number>;
}

/**
 * Keeps peers from filling the log: the first lines of each kind are logged in full, and the others as one line a
 * period with their number and their senders, until there are few again. At level `debug` each line is still logged.
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

  /** Logs the summaries that are due, and forgets everything. */
  flush(): void {
    for (const kind of this.#kinds.values()) {
      clearInterval(kind.timer);
      sumUp(kind);
    }
    this.#kinds.clear();
  }

  /** Ends a period. */
  #turn(name: string): void {
    const kind = this.#kinds.get(name)!;
    const quiet = kind.count <= FIRST_LINES;
    sumUp(kind);
    if (quiet) {
      clearInterval(kind.timer);
      this.#kinds.delete(name);
    }
    kind.count = 0;
    // It continues: one line a period is enough.
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
