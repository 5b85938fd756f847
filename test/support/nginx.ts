import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterTest } from './cleanup.ts';
import { freePort } from './peers.ts';
import { requireTool, Tool } from './tools.ts';
import { until } from './until.ts';

/**
 * nginx in front of a server on port `upstream`, as its documentation has it, with the usual headers of proxies. It has
 * two pages of its own: /page, and /sandboxed, whose origin is `null`. Gives its port.
 */
export async function startNginx(upstream: number): Promise<number> {
  const port = await freePort();
  const dir = mkdtempSync(join(tmpdir(), 'millrace-nginx-'));
  afterTest(() => rmSync(dir, { recursive: true, force: true }));
  for (const name of ['body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']) mkdirSync(join(dir, name));
  const conf = join(dir, 'nginx.conf');
  writeFileSync(
    conf,
    `
daemon off;
pid ${dir}/nginx.pid;
error_log stderr;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi; scgi_temp_path ${dir}/scgi;
  default_type text/html;
  server {
    listen 127.0.0.1:${port};
    location = /page { return 200 '<!doctype html><title>own</title>'; }
    location = /sandboxed {
      add_header Content-Security-Policy 'sandbox allow-scripts';
      return 200 '<!doctype html><title>opaque</title>';
    }
    location / {
      proxy_pass http://127.0.0.1:${upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`,
  );
  new Tool(requireTool('nginx'), ['-c', conf, '-e', 'stderr']).mustNotFail();
  await until('nginx to answer', async () => {
    return await fetch(`http://127.0.0.1:${port}/page`).then(
      ({ ok }) => ok,
      () => false,
    );
  });
  return port;
}
