import * as fc from 'fast-check';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Batch } from '../../src/message/batch.ts';
import type { Delivery } from '../../src/message/delivery.ts';
import { parseJsonPath } from '../../src/message/json-path.ts';
import { noReceipt, type Receipt } from '../../src/message/receipt.ts';
import type { ComponentEvents } from '../../src/telemetry/events.ts';
import { Cursor } from '../../src/delivery/resume.ts';
import { tempDir } from '../support/temp-dir.ts';

const dir = tempDir();
let files = 0;

async function opened(): Promise<Cursor> {
  const file = join(dir.path, `cursor-${files++}.json`);
  const path = parseJsonPath('seq')!;
  const cursor = new Cursor({
    file,
    formerKey: 'former',
    key: 'ws://a.example/',
    path,
    rewind: undefined,
    events: {} as ComponentEvents,
  });
  await cursor.open();
  return cursor;
}

const delivery = (seq: number): Delivery => ({
  batch: new Batch([Buffer.from(`{"seq":${seq}}`)], {
    runs: [{ start: 0, origin: { source: '', ext: {} }, time: 0, sequence: seq }],
  }),
  receipt: noReceipt,
});

test('in whichever order batches of several connections are read and confirmed, it never moves past an open one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.tuple(fc.constantFrom('arrive', 'read', 'confirm'), fc.nat(1000)), { maxLength: 400 }),
      async (connections, steps) => {
        const cursor = await opened();
        const slots = Array.from({ length: connections }, () => cursor.slot());
        /** By connection, in order of arrival over all of them. */
        const unread: number[][] = slots.map(() => []);
        const inFlight: { seq: number; receipt: Receipt }[] = [];
        const open = new Set<number>();
        let arrived = 0;
        const read = (index: number): void => {
          const seq = unread[index]!.shift();
          if (seq === undefined) return;
          inFlight.push({ seq, receipt: slots[index]!.track(delivery(seq)).receipt });
        };
        const confirm = (pick: number): void => {
          const [one] = inFlight.splice(pick % Math.max(1, inFlight.length), 1);
          if (one === undefined) return;
          open.delete(one.seq);
          one.receipt.done();
        };
        const check = (): void => {
          const at = Number(cursor.current() ?? 0);
          expect(Math.min(...open)).toBeGreaterThan(at);
        };
        for (const [step, pick] of steps) {
          const index = pick % connections;
          if (step === 'arrive') {
            slots[index]!.arrived();
            unread[index]!.push(++arrived);
            open.add(arrived);
          } else if (step === 'read') read(index);
          else confirm(pick);
          check();
        }
        // It never stays behind: once everything is confirmed, it is at the next message.
        for (const [index, waiting] of unread.entries()) while (waiting.length > 0) read(index);
        while (inFlight.length > 0) confirm(0);
        slots[0]!.arrived();
        unread[0]!.push(++arrived);
        read(0);
        confirm(0);
        expect(cursor.current()).toBe(String(arrived));
        for (const _ of slots) await cursor.close();
      },
    ),
    {
      numRuns: 300,
      examples: [
        // One connection is read in two goes, the other not at all.
        [
          2,
          [
            ['arrive', 1],
            ['arrive', 0],
            ['arrive', 1],
            ['read', 1],
            ['confirm', 0],
            ['read', 1],
            ['confirm', 0],
          ],
        ],
      ],
    },
  );
});

test('a refused batch holds it back for good', async () => {
  const cursor = await opened();
  const slot = cursor.slot();
  const [one, two, three] = [1, 2, 3].map((seq) => slot.track(delivery(seq)).receipt);
  one!.done();
  two!.failed(new Error('no'));
  three!.done();
  expect(cursor.current()).toBe('1');
  await cursor.close();
});
