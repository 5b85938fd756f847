import { Contiguous } from '../../../delivery/contiguous.ts';
import type { Context } from '../../../component/context.ts';
import { errorMessage } from '../../../errors.ts';

const NAME = 'cursor';

/** The place up to which rows are done. It is kept beside the log of the stream, if that has one. */
export class KeptCursor {
  readonly #context: Context;
  readonly #done = new Contiguous<string>(0);
  #batches = 0;
  #saved: string | undefined;
  #saving: Promise<void> | undefined;

  constructor(context: Context) {
    this.#context = context;
  }

  /** The kept place, or undefined. */
  async load(): Promise<string | undefined> {
    this.#saved = (await this.#context.state?.read(NAME))?.toString();
    return this.#saved;
  }

  /**
   * A batch has been read. `value` is the place to go on from once this one and all before it are done; undefined if rows of
   * that place may follow. @returns to be called when it is done
   */
  track(value: string | undefined): (error: unknown) => void {
    const number = this.#batches++;
    return (error) => {
      if (error !== undefined) return;
      this.#done.add(number, number, value);
      if (this.#context.state !== undefined) this.#saving ??= this.#save();
    };
  }

  /** Resolves when everything that is done is on the disk. */
  async close(): Promise<void> {
    await this.#saving;
  }

  async #save(): Promise<void> {
    try {
      for (
        let value = this.#done.value;
        value !== undefined && value !== this.#saved;
        value = this.#done.value
      ) {
        await this.#context.state!.write(NAME, value);
        this.#saved = value;
      }
    } catch (error) {
      // The next batch tries again; after a restart, rows since the last kept place come again.
      this.#context.logger.warn(`cannot keep the cursor: ${errorMessage(error)}`);
    } finally {
      this.#saving = undefined;
    }
  }
}
