import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startEngine } from '../support/engine.ts';
import { connectClient, freePort, send } from '../support/peers.ts';
import { tempDir } from '../support/temp-dir.ts';
import { requireTool, Tool } from '../support/tools.ts';
import { until } from '../support/until.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../control/fixtures/${name}.pem`, import.meta.url));
const dir = tempDir();

/** nginx in front of `upstream`: plain on one port, with TLS on another. */
async function nginx(upstream: number): Promise<{ plain: number; secure: number }> {
  const [plain, secure] = [await freePort(), await freePort()];
  for (const name of ['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'])
    mkdirSync(`${dir.path}/${name}`, { recursive: true });
  const conf = dir.file(
    'nginx.conf',
    `
daemon off;
pid ${dir.path}/nginx.pid;
error_log stderr;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${dir.path}/body; proxy_temp_path ${dir.path}/proxy; fastcgi_temp_path ${dir.path}/fastcgi;
  uwsgi_temp_path ${dir.path}/uwsgi; scgi_temp_path ${dir.path}/scgi;
  server {
    listen 127.0.0.1:${plain};
    listen 127.0.0.1:${secure} ssl;
    ssl_certificate ${fixture('server')};
    ssl_certificate_key ${fixture('server-key')};
    location /public/ {
      proxy_pass http://127.0.0.1:${upstream}/;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header X-Forwarded-For $remote_addr;
    }
  }
}
`,
  );
  new Tool(requireTool('nginx'), ['-c', conf, '-e', 'stderr']).mustNotFail();
  await until('nginx to answer', async () => {
    return await fetch(`http://127.0.0.1:${plain}/`).then(
      () => true,
      () => false,
    );
  });
  return { plain, secure };
}

test('behind nginx, plain and with TLS: messages, metadata, refusals and the close come through', async () => {
  const run = await startEngine(`
streams:
  - input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: 0
      path: /in
      metadata: { headers: [x-forwarded-for], query: [room] }
    output: { type: collect }
`);
  const { plain, secure } = await nginx(await run.port());
  const first = await connectClient(`ws://127.0.0.1:${plain}/public/in?room=lab`);
  await send(first, 'plain', Buffer.from('bytes'));
  await run.output().count(2);
  const second = await connectClient(`wss://localhost:${secure}/public/in`, {
    ca: readFileSync(fixture('ca')),
  });
  await send(second, 'x'.repeat(300_000));
  await run.output().count(3);
  expect(run.output().texts).toEqual(['plain', 'bytes', 'x'.repeat(300_000)]);
  expect(run.output().messages[0]!.ext).toMatchObject({
    path: '/in',
    'query.room': 'lab',
    'header.x-forwarded-for': '127.0.0.1',
  });
  await expect(connectClient(`ws://127.0.0.1:${plain}/public/other`)).rejects.toThrow('404');
  await run.stop();
  expect(await first.closed).toEqual({ code: 1001, reason: 'going away' });
  expect(await second.closed).toEqual({ code: 1001, reason: 'going away' });
});

test('an output reaches a server input through nginx, and finds it again after a restart', async () => {
  const port = await freePort();
  const hub = `
streams:
  - input: { type: websocket, mode: server, host: 127.0.0.1, port: ${port}, path: /in }
    output: { type: collect }
`;
  const { plain } = await nginx(port);
  const sender = await startEngine(`
streams:
  - input: { type: generate, context: '{"t":1}', interval: 5ms }
    output: { type: websocket, url: "ws://127.0.0.1:${plain}/public/in", reconnect: { initial: 1ms, max: 20ms } }
`);
  expect((await sender.logged(/^output failed to connect/)).msg).toContain(
    'the server answered 502 Bad Gateway',
  );
  const before = await startEngine(hub);
  await before.output().count(10);
  await before.stop();
  const after = await startEngine(hub);
  await after.output().count(10);
});
