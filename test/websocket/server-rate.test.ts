import { describe, expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { frame } from '../support/frames.ts';
import { connectClient, rawUpgrade, send } from '../support/peers.ts';
import { until } from '../support/until.ts';

const server = (limits: string, fields = ''): string => `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: 0, limits: { ${limits} }, ${fields} }
    output: { type: collect }
`;

const numbered = (count: number): string[] => Array.from({ length: count }, (_, number) => String(number));

describe('over_rate: pause', () => {
  test.each([
    ['messages_per_second: 50', numbered(150), 2],
    ['bytes_per_second: 10KB', ['x'.repeat(25_000)], 1.5],
  ])(
    '%s: beyond a second’s worth the next one waits until the rest is made up for; nothing is lost, nobody is closed',
    async (limit, messages, seconds) => {
      const run = await startEngine(server(limit));
      const client = await connectClient(await run.url());
      await send(client, ...messages);
      await run.output().count(messages.length, 20_000);
      await send(client, 'behind');
      expect(await run.output().count(messages.length + 1, 20_000)).toEqual([...messages, 'behind']);
      const [first, last] = [run.output().messages[0]!, run.output().messages.at(-1)!];
      // A slow machine makes it later, nothing makes it earlier.
      expect(last.time - first.time).toBeGreaterThan(seconds * 1e6 - 20_000);
      expect(client.socket.readyState).toBe(client.socket.OPEN);
    },
  );

  test('the others are not held back, and the keepalive cuts nobody for being held', async () => {
    const run = await startEngine(
      server('messages_per_second: 10', 'ping_interval: 100ms, ping_timeout: 100ms'),
    );
    const url = await run.url();
    const [fast, slow] = [await connectClient(url), await connectClient(url)];
    await send(fast, ...numbered(40));
    await send(slow, 'slow');
    await until('the slow one', () => run.output().texts.includes('slow'));
    // It is three seconds in debt: time for many pings that nobody reads the answers to.
    await send(fast, 'behind');
    await until('the debt to be paid', () => run.output().texts.includes('behind'), { timeout: 20_000 });
    expect([fast.socket.readyState, slow.socket.readyState]).toEqual([1, 1]);
    expect(run.output().texts.filter((text) => text !== 'slow')).toEqual([...numbered(40), 'behind']);
  });

  test('many sessions that wait, each for another time, all go on', async () => {
    const run = await startEngine(server('messages_per_second: 20'));
    const url = await run.url();
    const clients = await Promise.all(Array.from({ length: 30 }, () => connectClient(url)));
    let total = 0;
    await Promise.all(
      clients.map(async (client, index) => {
        const messages = numbered(20 + index);
        total += messages.length + 1;
        await send(client, ...messages);
        await send(client, 'behind');
      }),
    );
    await run.output().count(total, 20_000);
    // One that leaves does not stop the timer of the others.
    clients[29]!.socket.terminate();
    await send(clients[0]!, ...numbered(45));
    await send(clients[1]!, ...numbered(25), 'behind');
    await run.output().count(total + 45 + 26, 20_000);
  });

  test('a long wait of one does not make the short wait of another long', async () => {
    const run = await startEngine(server('messages_per_second: 10'));
    const url = await run.url();
    const [long, short] = [await connectClient(url), await connectClient(url)];
    // More than twenty seconds' worth, where the other's is less than one.
    await send(long, ...numbered(250));
    await run.output().count(250);
    // The second time the timer is set for the long one.
    for (const behind of ['first', 'second']) {
      await send(short, ...numbered(15), behind);
      await until('the short one', () => run.output().texts.includes(behind));
    }
  });

  test('a rate under one a second lets messages through, one at a time', async () => {
    const run = await startEngine(server('messages_per_second: 0.8'));
    const client = await connectClient(await run.url());
    await send(client, 'a');
    expect(await run.output().count(1)).toEqual(['a']);
    await send(client, 'b');
    await run.output().count(2);
    await send(client, 'c');
    await run.output().count(3);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });

  test('a session that waits is drained like any other', async () => {
    const run = await startEngine(server('messages_per_second: 5', 'drain: { timeout: 20s }'));
    const client = await connectClient(await run.url());
    await send(client, ...numbered(10));
    await run.output().count(10);
    await send(client, 'behind');
    const outcome = await run.stop();
    expect(outcome).toEqual({ failed: [], left: [] });
    expect(run.output().texts).toEqual([...numbered(10), 'behind']);
    expect(await client.closed).toEqual({ code: 1001, reason: 'going away' });
  });
});

describe('over_rate: close', () => {
  test.each([
    ['messages_per_second: 10', numbered(100), 'too many messages a second', 10],
    ['bytes_per_second: 1000', Array<string>(100).fill('x'.repeat(100)), 'too many bytes a second', 10],
  ])(
    '%s: 1008, with what was within the rate taken and the rest not',
    async (limit, messages, reason, taken) => {
      const run = await startEngine(server(`${limit}, over_rate: close`));
      const url = await run.url();
      const other = await connectClient(url);
      const client = await connectClient(url);
      for (const message of messages) client.socket.send(message);
      expect(await client.closed).toEqual({ code: 1008, reason });
      expect((await run.logged(/^connection closed with 1008/)).msg).toContain(reason);
      await send(other, 'other');
      const texts = await run.output().count(taken + 1);
      // The bucket fills while they come, so there may be a few more.
      const came = texts.filter((text) => text !== 'other');
      expect(came.length).toBeLessThan(messages.length);
      expect(came).toEqual(messages.slice(0, came.length));
      expect(other.socket.readyState).toBe(other.socket.OPEN);
    },
  );

  test('a session that keeps sending and never answers is cut', async () => {
    const run = await startEngine(server('messages_per_second: 10, over_rate: close'));
    const peer = await rawUpgrade(await run.url());
    const packet = Buffer.concat(Array<Buffer>(100).fill(frame('text', 'x', { mask: true })));
    const flood = setInterval(() => peer.socket.writable && peer.socket.write(packet), 20);
    expect(await peer.closeCode()).toBe(1008);
    await until('the cut', () => peer.socket.destroyed);
    clearInterval(flood);
    await run.metricIs(0, 'millrace_connections_open', 'stage="input"');
    expect(run.output().messages.length).toBeLessThan(100);
  });

  test('a session that keeps to it stays', async () => {
    const run = await startEngine(server('messages_per_second: 100, over_rate: close'));
    const client = await connectClient(await run.url());
    await send(client, ...numbered(90));
    await run.output().count(90);
    const refilled = performance.now() + 1000;
    await until('the next second', () => performance.now() > refilled);
    await send(client, ...numbered(90));
    await run.output().count(180);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });
});
