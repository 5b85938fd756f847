import { mustBe } from './messages.ts';
import type { Rig } from './rig.ts';

/** True when the messages of an input come from its peer, and not from its fields. */
export const isPushed = ({ subject }: Rig): boolean => subject.peer?.push !== undefined;

/** Sends all messages through the stream, which runs, and holds what came of them. An end of its input comes with it where there is one. */
export async function exercise(rig: Rig, kind: string): Promise<void> {
  if (kind === 'input') {
    if (isPushed(rig)) {
      await rig.send(rig.messages);
      await arrives(rig);
    } else await rig.ended();
  } else {
    await rig.send(rig.messages.slice(0, 2));
    await rig.send(rig.messages.slice(2));
    rig.source.end();
    await rig.ended();
    if (kind === 'output') {
      if (rig.subject.peer?.arrived !== undefined) await arrives(rig);
      return;
    }
  }
  if (kind !== 'framing') mustBe('what came out', await rig.out(), rig.expected);
}

/** Resolves when as many messages as are expected have come out. */
export async function arrives(rig: Rig, count = rig.expected.length): Promise<void> {
  let out: readonly string[] = [];
  await rig.patience.until(
    `${count} messages come out`,
    async () => {
      out = await rig.out();
      return (rig.subject.repeats === true ? new Set(out).size : out.length) >= count;
    },
    () => `${out.length} did, ${rig.errors.payloads.length} were rejected; ${rig.reasons().join('; ')}`,
  );
}
