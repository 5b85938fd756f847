import type { Framing } from '../component/framing/framing.ts';
import { Unframed } from '../component/framing/framing.ts';
import { MillraceError } from '../errors.ts';
import { has, type CaseOf } from './case-of.ts';
import { must, mustBe } from './messages.ts';
import { inRig, unframing, type Rig } from './rig.ts';

const MAX = 1024 * 1024;

export const framingCases: readonly CaseOf[] = [
  {
    name: 'the messages of a stream come out of the frames that they were put into',
    run: (tried) => inRig(tried, roundTrip),
  },
  {
    name: 'it finds the same messages however the bytes are cut, and is ready for others after the end',
    run: (tried) => inRig(tried, cutAnywhere),
  },
  {
    name: 'a message longer than the longest allowed is not given',
    run: (tried) => inRig(tried, tooLong),
  },
  {
    name: 'a frame that is wrong is rejected alone, and its neighbours go on in order',
    lacks: has('refused'),
    run: (tried) => inRig(tried, refusesFrame),
  },
];

async function roundTrip(rig: Rig): Promise<void> {
  const frames = await framesOf(rig);
  must(frames.length > 0, 'no frame came out');
  await throughUnframing(rig, frames);
  mustBe('what came out', rig.sink.texts, rig.expected);
  mustBe('rejected', rig.refused.map(String), []);
}

/** The frames that a stream makes of the messages. */
async function framesOf(rig: Rig): Promise<Buffer[]> {
  await rig.run();
  await rig.send(rig.messages);
  rig.source.end();
  await rig.ended();
  await rig.drained();
  return rig.sink.payloads.splice(0);
}

async function throughUnframing(rig: Rig, frames: readonly Uint8Array[]): Promise<void> {
  rig.source.begin();
  await rig.run(unframing(rig.component));
  rig.source.give(frames);
  rig.source.end();
  await rig.ended();
}

async function refusesFrame(rig: Rig): Promise<void> {
  const frames = await framesOf(rig);
  const refused = Buffer.from(rig.subject.refused as string);
  await throughUnframing(rig, [...frames, refused, ...frames]);
  mustBe('what came out', rig.sink.texts, [...rig.expected, ...rig.expected]);
  must(rig.refused.length > 0, 'the wrong frame is not rejected');
  must(rig.source.open === 0, 'the receipt of its batch is not settled');
}

async function instanceIn(rig: Rig): Promise<Framing> {
  await rig.idle();
  const instance = rig.instances.at(-1);
  must(instance !== undefined, 'it was not made');
  return instance as Framing;
}

function framed(framing: Framing, messages: readonly string[]): Uint8Array {
  return framing.join(
    messages.map((message) => {
      const fit = framing.fit(Buffer.from(message), 'json');
      if (fit instanceof MillraceError) throw new Error(`${message} does not fit: ${fit.message}`);
      return fit;
    }),
  );
}

async function cutAnywhere(rig: Rig): Promise<void> {
  const framing = await instanceIn(rig);
  const groups = framing.single === true ? rig.messages.map((message) => [message]) : [rig.messages];
  const expected = framing.single === true ? rig.expected.map((message) => [message]) : [rig.expected];
  for (const size of [1, 2, 3, 7, 16, MAX]) {
    const decoder = framing.decoder(MAX);
    for (const [index, group] of groups.entries()) {
      const bytes = Buffer.from(framed(framing, group));
      const out = new Unframed();
      for (let at = 0; at < bytes.length; at += size)
        decoder.push(Buffer.from(bytes.subarray(at, at + size)), out);
      decoder.flush(out);
      mustBe(
        `in pieces of ${size} bytes`,
        out.messages.map((message) => Buffer.from(message).toString()),
        expected[index]!,
      );
      must(out.errors === undefined, `in pieces of ${size} bytes, some are wrong`);
    }
  }
}

async function tooLong(rig: Rig): Promise<void> {
  const framing = await instanceIn(rig);
  const [first] = rig.messages;
  const long = `{"filler":"${'x'.repeat(4096)}"}`;
  const out = new Unframed();
  const decoder = framing.decoder(Buffer.byteLength(first!));
  decoder.push(framed(framing, [long]), out);
  decoder.flush(out);
  const given = out.messages.filter((_, index) => out.errors?.has(index) !== true);
  must(given.length === 0, `a message of ${given[0]?.length ?? 0} bytes is given`);
}
