import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fifo } from '../../src/message/fifo.ts';

test('it acts like an array', () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constant('push') },
      { weight: 2, arbitrary: fc.constant('shift') },
      { weight: 1, arbitrary: fc.constantFrom('drain', 'clear') },
    ),
    {
      maxLength: 300,
    },
  );
  fc.assert(
    fc.property(steps, (names) => {
      const fifo = new Fifo<number>();
      const array: number[] = [];
      let next = 0;
      for (const name of names) {
        if (name === 'push') {
          fifo.push(next);
          array.push(next++);
        } else if (name === 'shift') expect(fifo.shift()).toBe(array.shift());
        else if (name === 'drain') while (array.length > 0) expect(fifo.shift()).toBe(array.shift());
        else {
          fifo.clear();
          array.length = 0;
        }
        expect([fifo.length, fifo.first, fifo.last]).toEqual([array.length, array[0], array.at(-1)]);
        expect(array.map((_, index) => fifo.at(index))).toEqual(array);
        expect([fifo.at(-1), fifo.at(array.length)]).toEqual([undefined, undefined]);
      }
    }),
  );
});

test('an item that is gone can be collected', async () => {
  const fifo = new Fifo<object>();
  let item: object | undefined = {};
  const gone = new WeakRef(item);
  fifo.push(item);
  fifo.push({});
  item = undefined;
  fifo.shift();
  const { setFlagsFromString } = await import('node:v8');
  const { runInNewContext } = await import('node:vm');
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  expect(gone.deref()).toBeUndefined();
  expect(fifo.length).toBe(1);
});
