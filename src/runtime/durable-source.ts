import { join } from 'node:path';
import type { Budget } from '../component/budget.ts';
import type { Durability, KeptState, Source } from '../component/context.ts';
import { Waker } from '../component/waker.ts';
import { EndOfInputError, MillraceError } from '../errors.ts';
import type { Delivery, InputDelivery, Keys } from '../message/delivery.ts';
import type { StreamEvents } from '../telemetry/events.ts';
import type { Log } from '../delivery/log/log.ts';
import type { LogEvents, LogOptions } from '../delivery/log/log-options.ts';
import { Backlog, mostOf } from './backlog.ts';
import { CrashGuard, type CrashGuardOptions } from './crash-guard.ts';
import type { DeadLetters } from './dead-letters.ts';
import { HeldEntries } from './held-entries.ts';
import { Outage } from '../component/outage.ts';
import { pause } from './retry.ts';

/** How much may be on its way into the log before the input has to wait. Bytes. */
const MAX_APPENDING = 4 * 1024 * 1024;

/** The pause before opening the log again when file descriptors had run out. Milliseconds. */
const RETRY_DELAY = 1000;

interface Parts {
  readonly source: (durability: Durability) => Source;
  readonly options: LogOptions;
  readonly budget: Budget;
  /** The pipeline's share of `budget`. */
  readonly share: Budget;
  readonly deadLetters: DeadLetters;
  readonly events: StreamEvents;
  /** Each entry of the log is a batch of its own, as an output that is `identified` needs it. */
  readonly separate: boolean;
  /** The bytes that windows may hold in addition. */
  readonly kept: number;
  /** How to try the messages that may have ended the last process. */
  readonly trials: Pick<CrashGuardOptions, 'pipeline' | 'create'>;
}

/**
 * A stream's input with a log after it. Messages are passed on once the log has them, and the log forgets them when
 * they have been delivered. Entries from before the start come first.
 */
export class DurableSource implements Source, Durability {
  readonly #source: Source;
  readonly #parts: Parts;
  #log: Log | undefined;
  /** Why the log cannot be opened now. */
  #waiting: string | undefined;
  #backlog: Backlog | undefined;
  #guard: CrashGuard | undefined;
  /** State that entries are kept for, and the entries. */
  #kept: KeptState | undefined;
  #held: HeldEntries | undefined;
  #trying = false;
  #appending = 0;
  #failure: { error: unknown } | undefined;
  #ended = false;
  #draining = false;
  readonly #drained = new AbortController();
  readonly #room = new Waker();
  readonly #waker = new Waker();
  /** Counts events that `read` must react to. */
  #changes = 0;
  #closed = false;
  readonly #options: LogOptions;
  /** While the log can take nothing, or cannot be opened yet. */
  readonly #blocked = new Outage();

  constructor(parts: Parts) {
    this.#parts = parts;
    const { options } = parts;
    this.#options = { ...options, events: this.#watched(options.events) };
    this.#source = parts.source(this);
  }

  get listens(): boolean {
    return this.#source.listens;
  }

  prepare(): Promise<void> {
    return this.#source.prepare();
  }

  dial(signal: AbortSignal): Promise<void> {
    return this.#source.dial(signal);
  }

  async dialLog(): Promise<void> {
    const { probeLog } = await import('../delivery/log/probe.ts');
    await probeLog(this.#options.path);
  }

  notReady(): string | undefined {
    if (this.#trying) {
      return `the last process did not shut down cleanly: the messages in the log in ${this.#options.path} are being tried, part by part`;
    }
    const blocked = this.#log === undefined ? this.#waiting : this.#log.blocked;
    if (blocked !== undefined) return this.#blocked.dated(blocked);
    return this.#log === undefined
      ? `the log in ${this.#options.path} is being read`
      : this.#source.notReady();
  }

  measure(): void {
    if (this.#log !== undefined) this.#parts.events.logMeasured(this.#log.entries, this.#log.bytes);
  }

  recoveredKeys(space: string): readonly (Keys & { readonly entry: number })[] {
    return (this.#log?.keys ?? []).filter((keys) => keys.space === space);
  }

  whenDelivered(entry: number, act: () => void): void {
    if (this.#backlog === undefined) act();
    else this.#backlog.whenDelivered(entry, act);
  }

  refusal(payload: Uint8Array): MillraceError | undefined {
    return this.#guard?.culprits.refusal(payload);
  }

  keepFor(state: KeptState): string {
    if (this.#kept !== undefined) {
      const message = 'only one processor of a stream with a log may keep state';
      throw new MillraceError('MILLRACE_CONFIG_INVALID', message, { fatal: true });
    }
    this.#kept = state;
    return join(this.#options.path, 'state', 'kept');
  }

  async recover(signal: AbortSignal): Promise<void> {
    try {
      const [{ Log }, { hasCrashed }] = await Promise.all([
        import('../delivery/log/log.ts'),
        import('../delivery/log/crash-record.ts'),
      ]);
      if (!(await hasCrashed(this.#options.path))) return;
      this.#trying = true;
      const log = await Log.open(this.#options);
      this.#log = log;
      this.#guard = this.#guardOf(log);
      await this.#guard.run(AbortSignal.any([signal, this.#drained.signal]));
    } catch {
      // `read` reports the error if it persists.
    } finally {
      this.#trying = false;
    }
  }

  async read(signal: AbortSignal): Promise<Delivery> {
    const backlog = (this.#backlog ??= await this.#open(signal));
    for (;;) {
      signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure.error;
      const changes = this.#changes;
      const delivery = await backlog.take(this.#draining, signal);
      if (delivery !== undefined) return delivery;
      if (this.#ended && this.#appending === 0 && backlog.isDrained(this.#draining)) {
        if (backlog.behind) this.#parts.events.leftInLog(this.#log!.entries);
        throw new EndOfInputError();
      }
      // Something may have happened during `take`.
      if (changes === this.#changes) await this.#waker.wait(signal);
    }
  }

  drain(): void {
    this.#draining = true;
    this.#drained.abort();
    this.#source.drain();
    this.#changed();
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#source.close(signal);
    await this.#backlog?.close();
    this.#held?.close();
    if (this.#held !== undefined) await this.#kept?.finish();
    await this.#log?.close();
  }

  async #open(signal: AbortSignal): Promise<Backlog> {
    const log = this.#log ?? (await this.#openLog(signal));
    if (this.#closed) {
      await log.close();
      throw new EndOfInputError();
    }
    this.#log = log;
    this.#guard ??= this.#guardOf(log);
    if (this.#kept !== undefined)
      this.#held = await HeldEntries.restore(log, this.#kept, this.#options.maxBytes);
    const backlog = new Backlog(log, {
      ...this.#parts,
      culprits: this.#guard.culprits,
      held: this.#held,
      changed: () => this.#changed(),
    });
    void this.#run(log, backlog, signal);
    return backlog;
  }

  #guardOf(log: Log): CrashGuard {
    const { trials, share, kept, events } = this.#parts;
    return new CrashGuard(log, {
      ...trials,
      limits: mostOf(share, kept),
      tries: (messages) => events.triedAgain(messages),
    });
  }

  /** Opens the log, and waits while the process has no file descriptors for it. */
  async #openLog(signal: AbortSignal): Promise<Log> {
    // Loaded only by streams that have a log.
    const { Log, waitsForDescriptor, isNoDescriptor } = await import('../delivery/log/log.ts');
    const { path, events } = this.#options;
    for (;;) {
      try {
        const log = await Log.open(this.#options);
        if (this.#waiting !== undefined) events.unblocked();
        this.#waiting = undefined;
        return log;
      } catch (error) {
        const { cause } = error as Error;
        if (!isNoDescriptor(cause)) throw error;
        const reason = waitsForDescriptor(path, cause);
        if (this.#waiting === undefined) events.blocked(reason);
        this.#waiting = reason;
        await pause(RETRY_DELAY, signal);
        if (this.#draining) throw new EndOfInputError();
      }
    }
  }

  /** The log's events, from which `notReady` learns since when it is blocked. */
  #watched(events: LogEvents): LogEvents {
    return {
      recovered: (details) => events.recovered(details),
      blocked: (reason) => {
        this.#blocked.failed(reason);
        events.blocked(reason);
      },
      unblocked: () => {
        this.#blocked.over();
        events.unblocked();
      },
    };
  }

  /** Reads the input into the log until it ends. */
  async #run(log: Log, backlog: Backlog, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        while (this.#appending >= MAX_APPENDING) {
          await this.#room.wait(signal);
          signal.throwIfAborted();
          if (this.#failure !== undefined) return;
        }
        this.#append(log, backlog, await this.#source.read(signal));
      }
    } catch (error) {
      if (error instanceof EndOfInputError) this.#ended = true;
      else this.#failure ??= { error };
      this.#changed();
    }
  }

  #append(log: Log, backlog: Backlog, delivery: InputDelivery): void {
    const { batch, receipt, rejected, keys } = delivery;
    // At least a byte, so that an empty batch counts as well.
    const size = batch.bytes + (rejected?.batch.bytes ?? 0) + 1;
    this.#appending += size;
    log
      .append({ batch, rejected, keys })
      .then(
        (number) => backlog.committed(delivery, number),
        (error: unknown) => {
          receipt.failed(error);
          this.#failure ??= { error };
        },
      )
      .finally(() => {
        this.#appending -= size;
        this.#room.wake();
        this.#changed();
      });
  }

  #changed(): void {
    this.#changes++;
    this.#waker.wake();
  }
}
