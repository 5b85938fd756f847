import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serverOf, type Server } from './server.ts';

/** nats-server with JetStream. `config` is added to its configuration file: accounts, TLS and so on. */
export async function natsServer({ config = '' }: { config?: string } = {}): Promise<Server> {
  return await serverOf({
    tool: 'nats-server',
    prepare({ dir, port, port2 }) {
      writeFileSync(
        join(dir, 'nats.conf'),
        `listen: 127.0.0.1:${port}
http: 127.0.0.1:${port2}
jetstream { store_dir: "${dir}/jetstream" }
${config}
`,
      );
    },
    command: ({ program, dir }) => [program, '-c', join(dir, 'nats.conf')],
    async ready({ port2 }) {
      const answer = await fetch(`http://127.0.0.1:${port2}/healthz`, { headers: { connection: 'close' } });
      return answer.ok;
    },
  });
}
