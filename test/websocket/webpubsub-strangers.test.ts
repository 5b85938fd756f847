import { describe, expect, test } from 'vitest';
import { startEngine, type Run } from '../support/engine.ts';
import { PLAIN, RELIABLE, azureClient, rawClient, type RawClient } from '../support/pubsub.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/until.ts';

const server = (input = '', more = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, protocols: [${RELIABLE}, ${PLAIN}], ${input} }
    output: { type: collect }
${more}
`;

const users = 'auth: { type: basic, users: { eve: eve-pass, bob: bob-pass } },';
const as = (name: string) => ({
  headers: { authorization: `Basic ${Buffer.from(`${name}:${name}-pass`).toString('base64')}` },
});

async function recoveryUrl(url: string, client: RawClient): Promise<string> {
  const { connectionId, reconnectionToken } = await client.got({ event: 'connected' });
  const target = new URL(url);
  target.searchParams.set('awps_connection_id', String(connectionId));
  target.searchParams.set('awps_reconnection_token', String(reconnectionToken));
  return target.href;
}

/** Whether the connection continues, on its new socket. Its messages are left in it. */
async function goesOn(target: string, options = {}): Promise<boolean> {
  const { socket, closed, frames } = await rawClient(target, RELIABLE, options);
  const connected = (): boolean => frames.some(({ event }) => event === 'connected');
  const answered = new Promise<void>((resolve) => {
    if (connected()) resolve();
    socket.once('message', () => resolve());
  });
  await Promise.race([answered, closed]);
  socket.pause();
  return connected();
}

const sendToGroup = (group: string, data: unknown, more = {}): string =>
  JSON.stringify({ type: 'sendToGroup', group, dataType: 'json', data, ...more });

/** Each takes at least 100 bytes of the 256 KiB that may wait for a member: twice as much, and more. */
const FLOOD = 6000;

describe('a flood to a group', () => {
  test.each([
    ['reliable', false],
    ['plain', true],
  ])(
    'throws out no member that reads, and loses it nothing: the published client, %s',
    async (_, plain) => {
      const run = await startEngine(server('limits: { outgoing_bytes: 256KiB }'));
      const url = await run.url();
      const member = await azureClient(url, { plain });
      await member.client.joinGroup('room');
      const stranger = await rawClient(url, PLAIN);
      const count = FLOOD;
      for (let n = 0; n < count; n++) stranger.socket.send(sendToGroup('room', n));
      await until('all of it', () => member.group.length >= count, {
        timeout: 60_000,
        state: () => `${member.group.length} came`,
      });
      expect(member.group.map(({ data }) => data)).toEqual(Array.from({ length: count }, (__, n) => n));
      expect(member.disconnected).toEqual([]);
      expect(stranger.socket.readyState).toBe(stranger.socket.OPEN);
      expect(run.output().messages).toHaveLength(count);
    },
    90_000,
  );

  test('does not throw out a member that is away for a moment', async () => {
    const run = await startEngine(server('limits: { outgoing_bytes: 256KiB }'));
    const url = await run.url();
    const member = await rawClient(url);
    member.say({ type: 'joinGroup', group: 'room', ackId: 1 });
    await member.got({ ackId: 1 });
    const target = await recoveryUrl(url, member);
    const stranger = await rawClient(url, PLAIN);
    await lose(run, member);
    const count = FLOOD;
    for (let n = 0; n < count; n++) stranger.socket.send(sendToGroup('room', n));
    await run.output().count(1);
    const back = await rawClient(target);
    const got: unknown[] = [];
    back.socket.on('message', (data: Buffer) => {
      const { sequenceId, data: n } = JSON.parse(data.toString()) as { sequenceId?: number; data?: unknown };
      if (typeof sequenceId !== 'number') return;
      got.push(n);
      if (sequenceId % 200 === 0) back.say({ type: 'sequenceAck', sequenceId });
    });
    // The message that came with the handshake.
    const before = back.frames.filter(({ type }) => type === 'message').map(({ data }) => data);
    await until('all of it', () => before.length + got.length >= count, { timeout: 60_000 });
    expect([...before, ...got]).toEqual(Array.from({ length: count }, (_, n) => n));
  }, 90_000);

  test('one member that takes a little at a time holds nobody for long', async () => {
    const run = await startEngine(server('limits: { outgoing_bytes: 256KiB }'));
    const url = await run.url();
    const miser = await rawClient(url);
    miser.say({ type: 'joinGroup', group: 'room', ackId: 1 });
    await miser.got({ ackId: 1 });
    let confirmed = 0;
    const sip = setInterval(() => miser.say({ type: 'sequenceAck', sequenceId: ++confirmed }), 100);
    const member = await azureClient(url);
    await member.client.joinGroup('room');
    const stranger = await rawClient(url, PLAIN);
    const count = FLOOD;
    for (let n = 0; n < count; n++) stranger.socket.send(sendToGroup('room', n));
    expect(await miser.closed).toEqual({ code: 1008, reason: 'too slow' });
    clearInterval(sip);
    await until('all of it', () => member.group.length >= count, { timeout: 60_000 });
    expect(member.group.map(({ data }) => data)).toEqual(Array.from({ length: count }, (_, n) => n));
  }, 90_000);

  test('is held at its sender while a member is deaf, others go on, and the deaf one is closed in the end', async () => {
    const run = await startEngine(
      server('limits: { outgoing_bytes: 256KiB }', '    in_flight: { messages: 4000 }'),
    );
    const url = await run.url();
    const deaf = await rawClient(url);
    deaf.say({ type: 'joinGroup', group: 'room', ackId: 1 });
    await deaf.got({ ackId: 1 });
    const member = await azureClient(url);
    await member.client.joinGroup('room');
    const stranger = await rawClient(url, PLAIN);
    const count = FLOOD;
    for (let n = 0; n < count; n++) stranger.socket.send(sendToGroup('room', n));
    // The deaf one has all that may wait for it, and the flood stands still: no more is read of it than its share.
    await until('the flood to be held', async () => (await run.inFlight()).messages >= 1000);
    expect((await run.inFlight()).messages).toBeLessThan(4000);
    // Another client of the server does not notice.
    const bystander = await azureClient(url);
    await bystander.client.sendEvent('reading', 1, 'json');
    await bystander.client.sendToGroup('elsewhere', 1, 'json');
    expect(await deaf.closed).toEqual({ code: 1008, reason: 'too slow' });
    await until('all of it', () => member.group.length >= count, {
      timeout: 60_000,
      state: () => `${member.group.length} came`,
    });
    expect(member.group.map(({ data }) => data)).toEqual(Array.from({ length: count }, (_, n) => n));
    await run.idle();
  }, 90_000);
});

describe('hubs', () => {
  test('of one path see nothing of each other’s groups', async () => {
    const run = await startEngine(server('path: "/client/hubs/:hub"'));
    const base = `ws://127.0.0.1:${await run.port()}/client/hubs`;
    const [red, other, blue] = await Promise.all([
      azureClient(`${base}/red`),
      azureClient(`${base}/red`),
      azureClient(`${base}/blue`),
    ]);
    for (const { client } of [red, other, blue]) await client.joinGroup('room');
    await blue.client.sendToGroup('room', 'from blue', 'text');
    await red.client.sendToGroup('room', 'from red', 'text');
    await until('the neighbour to have it', () => other.group.length > 0);
    const texts = [red, other, blue].map(({ group }) => group.map(({ data, group: name }) => [name, data]));
    expect(texts).toEqual([[['room', 'from red']], [['room', 'from red']], [['room', 'from blue']]]);
    // Leaving is of one hub as well.
    await blue.client.leaveGroup('room');
    await red.client.sendToGroup('room', 'again', 'text');
    await until('the neighbour to have it', () => other.group.length > 1);
    expect(blue.group).toHaveLength(1);
  });

  test('a connection goes on in its own alone', async () => {
    const run = await startEngine(server('path: "/client/hubs/:hub"'));
    const base = `ws://127.0.0.1:${await run.port()}/client/hubs`;
    const first = await rawClient(`${base}/red`);
    const red = await recoveryUrl(`${base}/red`, first);
    first.socket.terminate();
    expect(await goesOn(red.replace('/red', '/blue'))).toBe(false);
    expect(await goesOn(red)).toBe(true);
  });
});

describe('names that clients choose count', () => {
  test.each([
    ['events', 'event', false],
    ['groups', 'group', false],
    ['events, with a log', 'event', true],
  ])(
    'in the budget of bytes: names of %s',
    async (_, field, durable) => {
      const dir = durable ? tempDir() : undefined;
      const log = dir === undefined ? '' : `    durability: { path: "${dir.path}" }\n`;
      const run = await startEngine(
        server('limits: { in_flight_share: 1 }', `${log}    in_flight: { messages: 100000, bytes: 2MiB }`),
      );
      run.output().hold();
      const stranger = await rawClient(await run.url(), PLAIN);
      const type = field === 'event' ? 'event' : 'sendToGroup';
      const count = 2000;
      for (let n = 0; n < count; n++) {
        const name = String(n).padEnd(1000, 'x');
        stranger.socket.send(JSON.stringify({ type, [field]: name, dataType: 'json', data: 1 }));
      }
      await until('the budget to be full', async () => (await run.inFlight()).bytes >= 2 * 1024 * 1024);
      const { messages, bytes } = await run.inFlight();
      expect(bytes).toBeGreaterThan(messages * 2000);
      expect(messages).toBeLessThan(count);
      run.output().release();
      await run.output().count(count);
      await run.idle();
      expect(await run.inFlight()).toEqual({ messages: 0, bytes: 0 });
    },
    60_000,
  );

  test('for members of groups: all connections of a subject together', async () => {
    const run = await startEngine(server(users));
    const url = await run.url();
    const refused: RawClient[] = [];
    for (let n = 0; n < 4; n++) {
      const eve = await rawClient(url, PLAIN, as('eve'));
      for (let group = 0; group < 900; group++) {
        eve.say({ type: 'joinGroup', group: `${n}-${group}`.padEnd(1024, 'x'), ackId: group });
      }
      await eve.got({ ackId: 899 });
      if (eve.frames.some(({ success }) => success === false)) refused.push(eve);
    }
    expect(refused).toHaveLength(2);
    expect(await refused[0]!.got({ success: false })).toMatchObject({
      error: { name: 'BadRequest', message: 'its connections are in too many groups together' },
    });
    const bob = await rawClient(url, PLAIN, as('bob'));
    bob.say({ type: 'joinGroup', group: 'x'.repeat(1024), ackId: 1 });
    expect(await bob.got({ ackId: 1 })).toMatchObject({ success: true });
    // They are free again when they have gone.
    for (const { socket } of refused) socket.close(1000);
    await run.metricIs(3, 'millrace_connections_open');
    const eve = await rawClient(url, PLAIN, as('eve'));
    eve.say({ type: 'joinGroup', group: 'back', ackId: 1 });
    expect(await eve.got({ ackId: 1 })).toMatchObject({ success: true });
  });
});

/** Cuts its socket, and resolves when the server has noticed. */
async function lose(run: Run, client: RawClient): Promise<void> {
  const { connectionId } = await client.got({ event: 'connected' });
  client.socket.terminate();
  await run.logged(/^connection closed/, (line) => line['session_id'] === connectionId);
}

describe('connections that are kept', () => {
  test('a subject that has too many loses its own, and nobody else one', async () => {
    const run = await startEngine(server(users));
    const url = await run.url();
    const bob = await rawClient(url, RELIABLE, as('bob'));
    const target = await recoveryUrl(url, bob);
    await lose(run, bob);
    const first = await rawClient(url, RELIABLE, as('eve'));
    const firstTarget = await recoveryUrl(url, first);
    await lose(run, first);
    let last = first;
    for (let n = 0; n < 1000; n++) {
      last = await rawClient(url, RELIABLE, as('eve'));
      await last.got({ event: 'connected' });
      last.socket.terminate();
    }
    await run.metricIs(0, 'millrace_connections_open');
    expect(await goesOn(firstTarget, as('eve'))).toBe(false);
    expect(await goesOn(await recoveryUrl(url, last), as('eve'))).toBe(true);
    expect(await goesOn(target, as('bob'))).toBe(true);
  }, 60_000);

  test('together hold no more than they may: the one that holds the most loses the oldest', async () => {
    const run = await startEngine(server(users));
    const url = await run.url();
    const join = async (name: string, group: string): Promise<string> => {
      const client = await rawClient(url, RELIABLE, as(name));
      client.say({ type: 'joinGroup', group, ackId: 1 });
      await client.got({ ackId: 1 });
      const target = await recoveryUrl(url, client);
      await lose(run, client);
      return target;
    };
    const bob = await join('bob', 'bob');
    const eves: string[] = [];
    for (let n = 0; n < 20; n++) eves.push(await join('eve', `eve ${n}`));
    const sender = await rawClient(url, PLAIN, as('bob'));
    sender.say(sendToGroup('bob', 'hello'));
    const payload = 'x'.repeat(32 * 1024);
    for (let n = 0; n < 20; n++) {
      const message = sendToGroup(`eve ${n}`, payload);
      // 3.6 MiB for each, of the 4 that may wait for one; 64 for all.
      for (let part = 0; part < 115; part++) sender.say(message);
    }
    sender.say({ type: 'event', event: 'end', dataType: 'json', data: 1, ackId: 1 });
    await until('it to be sent', () => sender.frames.some(({ ackId }) => ackId === 1), { timeout: 60_000 });
    const kept: boolean[] = [];
    for (const target of eves) kept.push(await goesOn(target, as('eve')));
    // The oldest are gone, as few as had to.
    expect(kept).toEqual(kept.toSorted((a, b) => Number(a) - Number(b)));
    expect(kept.filter((each) => each)).toHaveLength(17);
    expect(await goesOn(bob, as('bob'))).toBe(true);
  }, 60_000);

  test('a message to many counts once', async () => {
    const run = await startEngine(server());
    const url = await run.url();
    const targets: string[] = [];
    for (let n = 0; n < 40; n++) {
      const client = await rawClient(url);
      client.say({ type: 'joinGroup', group: 'all', ackId: 1 });
      await client.got({ ackId: 1 });
      targets.push(await recoveryUrl(url, client));
      await lose(run, client);
    }
    const sender = await rawClient(url, PLAIN);
    // 3 MiB for each of 40.
    for (let part = 0; part < 96; part++) sender.say(sendToGroup('all', 'x'.repeat(32 * 1024)));
    sender.say({ type: 'event', event: 'end', dataType: 'json', data: 1, ackId: 1 });
    await sender.got({ ackId: 1 });
    for (const target of targets) expect(await goesOn(target)).toBe(true);
  }, 60_000);
});
