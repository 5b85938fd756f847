import type { Input, Output } from '../component/contracts.ts';
import { has, peerCan, type CaseOf } from './case-of.ts';
import { arrives } from './exercise.ts';
import { must, mustBe, shown } from './messages.ts';
import { inRig, type Rig, type Tried } from './rig.ts';

/** Any component that can be closed. */
type Closable = Partial<Pick<Input, 'connect' | 'read'> & Pick<Output, 'prepare'>> & {
  close?(signal: AbortSignal): Promise<void> | void;
};

/** The work under way when the component is closed. */
const moments: Readonly<Record<string, (instance: Closable, signal: AbortSignal) => Promise<unknown>>> = {
  'before anything else': () => Promise.resolve(),
  'once it is prepared': async (instance) => await instance.prepare?.(),
  'while it connects': async (instance, signal) => {
    await instance.prepare?.();
    // In an object, so that nobody waits for it here.
    return { underWay: [connecting(instance, signal)] };
  },
  'once it is connected': async (instance, signal) => {
    await instance.prepare?.();
    await connecting(instance, signal);
  },
  'while it reads': async (instance, signal) => {
    await instance.prepare?.();
    await connecting(instance, signal);
    return { underWay: [instance.read?.(signal)] };
  },
};

/** Of what the engine opens and closes: inputs, outputs, processors and buffers, and codecs. */
export const closeCases: readonly CaseOf[] = Object.entries(moments).map(([moment, begin]) => ({
  name: `it can be closed ${moment}, and closed again`,
  run: (tried) => inRig(tried, (rig) => closes(rig, begin)),
}));

/** Of inputs and outputs. */
export const abortCases: readonly CaseOf[] = [
  {
    name: 'a connect that waits for an answer ends when it is aborted',
    lacks: peerCan('freeze'),
    run: (tried) => inRig(tried, abortsConnect),
  },
  {
    name: 'a stream whose peer is away ends at once when it is aborted',
    lacks: peerCan('connected'),
    run: (tried) => inRig(tried, (rig) => abortsWhileAway(rig, tried)),
  },
];

export const abortReadCase: CaseOf = {
  name: 'a read that waits for messages ends when it is aborted',
  lacks: peerCan('push'),
  run: (tried) => inRig(tried, abortsRead),
};

export const abortWriteCase: CaseOf = {
  name: 'a write that the peer does not take ends when it is aborted',
  lacks: peerCan('freeze', 'connected'),
  run: (tried) => inRig(tried, abortsWrite),
};

export const repeatsCase: CaseOf = {
  name: 'messages that were not confirmed when the connection was lost come again',
  lacks: (tried) => has('repeats')(tried) ?? peerCan('push', 'restart', 'connected')(tried),
  run: (tried) => inRig(tried, repeatsUnconfirmed),
};

export const whileAwayCase: CaseOf = {
  name: 'messages for nobody are dropped, or rejected, as it says, and hold nothing up',
  lacks: (tried) => has('whileAway')(tried) ?? peerCan('arrived', 'restart', 'connected')(tried),
  run: (tried) => inRig(tried, seesToMessagesForNobody),
};

export const reconnectCase = (method: 'push' | 'arrived'): CaseOf => ({
  name: 'it connects again when the connection was lost, and messages keep their order',
  lacks: peerCan(method, 'restart', 'connected'),
  run: (tried) => inRig(tried, (rig) => reconnects(rig, tried)),
});

function connecting(instance: Closable, signal: AbortSignal): Promise<unknown> {
  const { connect } = instance as { connect?: Output['connect'] };
  return connect?.call(instance, signal, () => {}) ?? Promise.resolve();
}

/** The component itself, in a stream that does not run. */
async function instanceIn(rig: Rig): Promise<Closable> {
  await rig.idle();
  const instance = rig.instances.at(-1);
  must(instance !== undefined, 'it was not made');
  return instance;
}

async function closes(rig: Rig, begin: (typeof moments)[string]): Promise<void> {
  const instance = await instanceIn(rig);
  const aborter = new AbortController();
  const begun = await rig.patience.ends('whatever comes before close', begin(instance, aborter.signal));
  const { underWay = [] } = (begun ?? {}) as { readonly underWay?: readonly unknown[] };
  const settled = Promise.allSettled(underWay);
  for (const call of ['close', 'close, called again,']) {
    await rig.patience.ends(call, Promise.resolve(instance.close?.(aborter.signal)));
  }
  aborter.abort(new Error('aborted by the kit'));
  await rig.patience.ends('what was under way when it was closed', settled);
}

async function abortsConnect(rig: Rig): Promise<void> {
  const instance = await instanceIn(rig);
  await instance.prepare?.();
  await rig.subject.peer?.freeze?.();
  const aborter = new AbortController();
  const connected = Promise.allSettled([connecting(instance, aborter.signal)]);
  await begun();
  aborter.abort(new Error('aborted by the kit'));
  await rig.patience.promptly('connect, which was aborted,', connected);
  await instance.close?.(aborter.signal);
}

/** Once it has begun to talk, which takes a turn of the loop or two. */
async function begun(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
}

async function abortsRead(rig: Rig): Promise<void> {
  const instance = await instanceIn(rig);
  await instance.prepare?.();
  const aborter = new AbortController();
  await rig.patience.ends('connect', connecting(instance, aborter.signal));
  const read = Promise.allSettled([instance.read?.(aborter.signal)]);
  aborter.abort(new Error('aborted by the kit'));
  await rig.patience.promptly('read, which was aborted,', read);
  await instance.close?.(aborter.signal);
}

async function abortsWhileAway(rig: Rig, { definition }: Tried): Promise<void> {
  let connects = 0;
  rig.around = (method, _args, call) => {
    if (method === 'connect') connects++;
    return call();
  };
  await rig.runConnected();
  const before = connects;
  await loseConnection(rig);
  // One that does not listen connects again.
  await rig.patience.forAWhile(() => connects > before);
  if (definition.kind === 'output') {
    await rig.send(rig.messages);
    await rig.patience.until('its messages are read', () => rig.source.unread === 0);
  }
  await begun();
  await rig.close();
}

const LARGE = 256 * 1024;
const MANY = 256;

async function abortsWrite(rig: Rig): Promise<void> {
  let writing = 0;
  let written = 0;
  rig.around = async (method, _args, call) => {
    if (method !== 'write') return call();
    writing++;
    await call();
    written++;
    return undefined;
  };
  await rig.runConnected();
  await rig.subject.peer?.freeze?.();
  const filler = 'x'.repeat(LARGE);
  for (let index = 0; index < MANY; index++) await rig.send([`{"filler":"${filler}"}`]);
  await rig.patience.until('a write begins', () => writing > 0);
  let last = -1;
  await rig.patience.forAWhile(() => {
    const stands = writing > written && written === last;
    last = written;
    return stands || rig.source.isSettled;
  });
  await rig.close();
}

async function reconnects(rig: Rig, { definition }: Tried): Promise<void> {
  const { peer, repeats, whileAway } = rig.subject;
  const { messages } = rig;
  const half = Math.ceil(messages.length / 2);
  await rig.runConnected();
  await rig.send(messages.slice(0, half));
  await arrives(rig, half);
  await loseConnection(rig);
  const waits = definition.kind === 'output' && whileAway === undefined;
  if (waits) await rig.send(messages.slice(half));
  await peer?.restart?.();
  await rig.connected();
  if (!waits) await rig.send(messages.slice(half));
  await arrives(rig, messages.length);
  mustBe('what came out', await rig.out(), messages, repeats);
}

async function loseConnection(rig: Rig): Promise<void> {
  await rig.subject.peer?.stop();
  // It may hear of it by itself, or only when it is used.
  await rig.patience.forAWhile(() => rig.reasons().length > 0);
}

async function repeatsUnconfirmed(rig: Rig): Promise<void> {
  const { messages } = rig;
  rig.sink.hold();
  await rig.runConnected();
  // Few, so that it is read on, and hears of the end of the connection.
  await rig.send(messages.slice(0, 2));
  await rig.patience.until('a message reaches the output', () => rig.sink.writes > 0);
  await loseConnection(rig);
  await rig.subject.peer?.restart?.();
  await rig.connected();
  rig.sink.release();
  await rig.patience.until(
    'every message comes, and one comes again',
    () => new Set(rig.sink.texts).size === 2 && rig.sink.texts.length > 2,
    () => `There were ${shown(rig.sink.texts)}; an input that gives none again has no \`repeats\``,
  );
}

async function seesToMessagesForNobody(rig: Rig): Promise<void> {
  const { peer, whileAway } = rig.subject;
  const { messages } = rig;
  await rig.runConnected();
  await loseConnection(rig);
  await rig.send(messages);
  await rig.patience.until(
    'its messages are dropped or rejected',
    () => rig.source.isSettled,
    () => `They wait; an output whose messages wait has no \`whileAway\`. ${rig.reasons().join('; ')}`,
  );
  mustBe('rejected', rig.refused.map(String), whileAway === 'rejects' ? messages : []);
  await peer?.restart?.();
  await rig.connected();
  await rig.send(messages.slice(0, 1));
  await arrives(rig, 1);
  mustBe('the peer has', await rig.out(), messages.slice(0, 1));
}
