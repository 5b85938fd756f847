/** At most this many senders of a field are remembered: the ones heard most recently. */
const MAX_SENDERS = 64;
/** More messages than this do not make a sender's vote firmer. */
const MAX_LEAD = 32;
/** A vote counts for this long, in microseconds of the time at which messages were received. */
const LIFETIME = 10 * 60 * 1_000_000;

interface Ballot {
  choice: string;
  /** The number of messages by which the choice leads over everything else that the sender has shown. */
  lead: number;
  time: number;
}

/** The identity of a sender: a text, or the object itself. */
export type Sender = string | object;

/** Stands for all senders that were counted without being told apart. */
const OTHERS = {};

/**
 * The votes of a field's senders. Each sender has one vote: the choice that most of its last messages had. So neither
 * the first message decides for all later ones, nor does one sender that sends more than the others.
 */
export class Votes {
  /** By sender, the one heard longest ago first. */
  readonly #ballots = new Map<Sender, Ballot>();

  /** `sender`: undefined if unknown. `time`: microseconds since the epoch. */
  count(sender: Sender = OTHERS, choice: string, messages: number, time: number): void {
    const ballot = this.#ballots.get(sender) ?? { choice, lead: 0, time };
    this.#ballots.delete(sender);
    this.#ballots.set(sender, ballot);
    ballot.time = Math.max(ballot.time, time);
    ballot.lead += ballot.choice === choice ? messages : -messages;
    if (ballot.lead < 0) Object.assign(ballot, { choice, lead: -ballot.lead });
    ballot.lead = Math.min(ballot.lead, MAX_LEAD);
    for (const [oldest, { time: heard }] of this.#ballots) {
      if (this.#ballots.size <= MAX_SENDERS && heard > time - LIFETIME) break;
      this.#ballots.delete(oldest);
    }
  }

  /** True if more senders show `one` than any of `others`; on a tie, if more of their messages do. */
  prefer(one: string, others: readonly string[]): boolean {
    const [wanted, held] = [this.#tally([one]), this.#tally(others)];
    if (wanted.senders !== held.senders) return wanted.senders > held.senders;
    if (wanted.messages !== held.messages) return wanted.messages > held.messages;
    // A sender that shows the same for long enough outweighs a past whose senders are unknown.
    return wanted.known > 0 && held.known === 0 && wanted.messages >= MAX_LEAD;
  }

  #tally(choices: readonly string[]): { known: number; senders: number; messages: number } {
    let known = 0;
    let senders = 0;
    let messages = 0;
    for (const [sender, ballot] of this.#ballots) {
      if (!choices.includes(ballot.choice)) continue;
      messages += ballot.lead;
      // Senders that were not told apart may include the known ones.
      if (sender === OTHERS) senders = 1;
      else known++;
    }
    return { known, senders: Math.max(senders, known), messages };
  }

  /** Call this when two choices have changed places. */
  swap(one: string, other: string): void {
    for (const ballot of this.#ballots.values()) {
      if (ballot.choice === one) ballot.choice = other;
      else if (ballot.choice === other) ballot.choice = one;
    }
  }
}
