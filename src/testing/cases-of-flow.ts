import { peerCan, has, type CaseOf } from './case-of.ts';
import { arrives, exercise, isPushed } from './exercise.ts';
import { must, mustBe } from './messages.ts';
import { inRig, placed, type Parts, type Rig, type Tried } from './rig.ts';
import { toWire } from '../message/wire-format.ts';
import type { Batch } from '../message/batch.ts';

/** Of every kind: messages come through. */
export const throughCase: CaseOf = {
  name: 'messages come through, each once, in order',
  run: async (tried) => {
    await inRig(tried, (rig) => comesThrough(rig, tried));
    if (tried.definition.kind !== 'buffer') return;
    // It may be one of the processors as well.
    await inRig(tried, (rig) =>
      comesThrough(rig, tried, { buffer: undefined, pipeline: { processors: [rig.component] } }),
    );
  },
};

/** Of whatever stands before an output. */
export const retryCase: CaseOf = {
  name: 'nothing is lost, repeated or out of order while the output fails',
  run: (tried) => inRig(tried, (rig) => survivesFailures(rig, tried)),
};

/** Of processors, buffers and codecs, and of outputs. */
export const refusedCase = (kind: 'output' | 'other'): CaseOf => ({
  name: 'a message that it can never take is a dead letter alone, and its neighbours go on in order',
  lacks: (tried) => has('refused')(tried) ?? (kind === 'output' ? peerCan('arrived')(tried) : undefined),
  run: (tried) => inRig(tried, refusesOne),
});

/** Of inputs. */
export const inputFlowCases: readonly CaseOf[] = [
  {
    name: 'when it is drained, it gives the messages that it has taken in, and ends',
    lacks: peerCan('push'),
    run: (tried) => inRig(tried, drainsInput),
  },
  {
    name: 'a message that a processor rejects does not hold its neighbours, and every receipt is settled',
    run: (tried) => inRig(tried, (rig) => hearsOfRejection(rig, tried)),
  },
];

/** Of outputs. */
export const drainOutputCase: CaseOf = {
  name: 'when the stream drains, the peer gets every message that was taken in',
  lacks: peerCan('arrived'),
  run: (tried) => inRig(tried, drainsOutput),
};

/** Of whatever gets a batch. */
export const batchCase: CaseOf = {
  name: 'it leaves the batches that it is given as they are',
  run: (tried) => inRig(tried, (rig) => leavesBatches(rig, tried)),
};

/** Of whatever stands between input and output. */
export const receiptsCase: CaseOf = {
  name: 'every receipt is settled exactly once, when the stream has drained',
  run: (tried) => inRig(tried, settlesReceipts),
};

async function comesThrough(rig: Rig, { definition }: Tried, parts?: Parts): Promise<void> {
  await rig.runConnected(parts);
  await exercise(rig, definition.kind);
  if (definition.kind === 'output' && rig.subject.peer?.arrived !== undefined) {
    mustBe('the peer has', await rig.out(), rig.expected);
  }
  mustBe('rejected', rig.refused.map(String), []);
  await rig.drained();
}

async function survivesFailures(rig: Rig, { definition }: Tried): Promise<void> {
  rig.sink.failing = 3;
  await rig.runConnected();
  await exercise(rig, definition.kind);
  must(rig.sink.failing === 0, 'the output was not asked to write so often');
  mustBe('what came out', await rig.out(), rig.expected);
  await rig.drained();
}

async function refusesOne(rig: Rig): Promise<void> {
  const { messages } = rig;
  const refused = rig.subject.refused!;
  await rig.runConnected();
  await rig.send([...messages.slice(0, 2), refused, ...messages.slice(2)]);
  rig.source.end();
  await rig.ended();
  await arrives(rig);
  mustBe('what came out', await rig.out(), rig.expected);
  mustBe('rejected', rig.refused.map(String), [Buffer.from(refused as string).toString()]);
  must(rig.source.open === 0, 'the receipt of its batch is not settled');
}

async function drainsInput(rig: Rig): Promise<void> {
  rig.sink.hold();
  await rig.runConnected();
  await rig.send(rig.messages);
  await rig.patience.until('a message reaches the output', () => rig.sink.writes > 0);
  const drained = rig.drained();
  drained.catch(() => {});
  rig.sink.release();
  await drained;
  const out = await rig.out();
  mustBe('what came out', out, rig.messages.slice(0, out.length));
}

async function hearsOfRejection(rig: Rig, { definition }: Tried): Promise<void> {
  await rig.runConnected({ ...placed(definition, rig.component), pipeline: REFUSING });
  if (isPushed(rig)) await rig.send(rig.messages);
  else await rig.ended();
  await arrives(rig, rig.expected.length - 1);
  mustBe(
    'what came out',
    await rig.out(),
    rig.expected.filter((_, index) => index !== 1),
  );
  mustBe('rejected', rig.refused.map(String), [rig.expected[1]!]);
  await rig.drained();
}

const REFUSING = { processors: [{ type: 'conformance_refuse' }] };

async function drainsOutput(rig: Rig): Promise<void> {
  let writes = 0;
  rig.around = (method, _args, call) => {
    if (method === 'write') writes++;
    return call();
  };
  await rig.runConnected();
  for (const message of rig.messages) await rig.send([message]);
  await rig.patience.until('a write begins', () => writes > 0);
  const read = rig.messages.length - rig.source.unread;
  await rig.drained();
  const least = read;
  await arrives(rig, least);
  const out = await rig.out();
  mustBe('the peer has', out, rig.expected.slice(0, out.length));
}

async function leavesBatches(rig: Rig, { definition }: Tried): Promise<void> {
  let changed: string | undefined;
  let seen = 0;
  rig.around = async (method, args, call) => {
    if (!GIVEN.has(method)) return call();
    const batch = args[0] as Batch;
    const before = toWire(batch);
    seen++;
    const result = await call();
    if (Buffer.compare(before, toWire(batch)) !== 0) changed = method;
    return result;
  };
  await rig.runConnected();
  await exercise(rig, definition.kind);
  must(seen > 0, 'it was given no batch');
  must(changed === undefined, `${changed ?? ''} has written into the batch that it was given`);
}

const GIVEN: ReadonlySet<string> = new Set(['write', 'process', 'decode', 'encode']);

async function settlesReceipts(rig: Rig): Promise<void> {
  await rig.runConnected();
  for (const message of rig.messages) await rig.send([message]);
  await rig.patience.until('its messages are read', () => rig.source.unread === 0);
  await rig.drained();
  must(rig.source.open === 0, `the receipts of ${rig.source.open} batches are not settled`);
  must(rig.source.failures.length === 0, `a receipt has failed: ${String(rig.source.failures[0])}`);
  must(rig.settledTwice === 0, 'a receipt of `keep` was settled twice, or settled and passed on as well');
}
