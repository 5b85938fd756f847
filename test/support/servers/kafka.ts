import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Admin, Consumer, MessagesStreamModes } from '@platformatic/kafka';
import { kafkaJars } from '../machine.ts';
import type { GatewayPorts } from './gateway.ts';
import { answers, serverOf, type Place, type Server } from './server.ts';

const JAVA = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
const SCRAM = 'org.apache.kafka.common.security.scram.ScramLoginModule';
const PLAIN = 'org.apache.kafka.common.security.plain.PlainLoginModule';

/** The listener with passwords: `alice` has `a-secret` with every mechanism. */
export const saslPort = ({ port }: { port: number }): number => 20_000 + ((port + 3) % 12_000);
/** The listener with TLS. Its certificate is `cert.pem` in the server’s folder, for `localhost`. */
export const tlsPort = ({ port }: { port: number }): number => 20_000 + ((port + 5) % 12_000);

/** A listener that clients reach through a gateway. */
export const gatewayPorts = ({ port }: { port: number }): GatewayPorts => ({
  port: 20_000 + ((port + 7) % 12_000),
  server: 20_000 + ((port + 9) % 12_000),
});

/** One broker of Kafka, which is its own controller. */
export async function kafkaServer(): Promise<Server> {
  const java = ({ program }: Place): string => join(dirname(program), 'java');
  const properties = ({ dir }: Place): string => join(dir, 'server.properties');
  return await serverOf({
    // A machine with the compiler has the rest.
    tool: 'javac',
    needs: 'Kafka’s jars',
    prepare(place) {
      writeCertificate(place.dir);
      writeFileSync(properties(place), propertiesOf(place));
      const format = ['format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', properties(place)];
      const users = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
        '--add-scram',
        `${mechanism}=[name=alice,password=a-secret]`,
      ]);
      const tool = ['-Xmx128m', ...JAVA, '-cp', join(kafkaJars, '*'), 'kafka.tools.StorageTool'];
      execFileSync(java(place), [...tool, ...format, ...users], { stdio: 'ignore' });
    },
    command: (place) => [
      java(place),
      '-Xms128m',
      '-Xmx384m',
      ...JAVA,
      '-cp',
      join(kafkaJars, '*'),
      'kafka.Kafka',
      properties(place),
    ],
    ready: async ({ port }) => await answers(port),
  });
}

/** Makes a topic. `configs` are its own settings. */
export async function createTopic(
  { port }: Server,
  topic: string,
  { partitions = 1, configs = {} }: { partitions?: number; configs?: Record<string, string> } = {},
): Promise<void> {
  const admin = new Admin(clientOf(port));
  const settings = Object.entries(configs).map(([name, value]) => ({ name, value }));
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: settings });
  await admin.close();
}

export interface KafkaMessage {
  readonly partition: number;
  readonly key: string | undefined;
  readonly value: string;
  readonly headers: Record<string, string>;
}

/** All messages of a topic, those of one partition in order. */
export async function messagesOf({ port }: Server, topic: string): Promise<KafkaMessage[]> {
  const groupId = `reader-${Math.random()}`;
  const consumer = new Consumer({ ...clientOf(port), groupId });
  const ends = (await consumer.listOffsets({ topics: [topic] })).get(topic) ?? [];
  const total = ends.reduce((sum, end) => sum + Number(end), 0);
  const all: KafkaMessage[] = [];
  if (total > 0) {
    const stream = await consumer.consume({
      topics: [topic],
      mode: MessagesStreamModes.EARLIEST,
      autocommit: false,
      maxWaitTime: 100,
    });
    for await (const { partition, key, value, headers } of stream) {
      const texts = [...headers].map(([name, each]) => [String(name), String(each)] as const);
      all.push({
        partition,
        key: (key as Buffer | null)?.toString(),
        value: value.toString(),
        headers: Object.fromEntries(texts),
      });
      if (all.length === total) break;
    }
  }
  await consumer.close(true);
  return all;
}

const clientOf = (port: number) => ({ clientId: 'test', bootstrapBrokers: [`127.0.0.1:${port}`] });

function writeCertificate(dir: string): void {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const pair = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key.pem'];
  const args = ['req', '-x509', ...pair, '-out', 'cert.pem', '-days', '2', ...subject];
  execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' });
  const both = ['key.pem', 'cert.pem'].map((name) => readFileSync(join(dir, name), 'utf8')).join('');
  writeFileSync(join(dir, 'both.pem'), both);
}

function propertiesOf(place: Place): string {
  const { dir, port, port2 } = place;
  const [sasl, tls] = [saslPort(place), tlsPort(place)];
  const listeners = `PLAINTEXT://127.0.0.1:${port},SASL_PLAINTEXT://127.0.0.1:${sasl},SSL://localhost:${tls}`;
  const gateway = gatewayPorts(place);
  return `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${port2}
listeners=${listeners},GATEWAY://127.0.0.1:${gateway.server},CONTROLLER://127.0.0.1:${port2}
advertised.listeners=${listeners},GATEWAY://127.0.0.1:${gateway.port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,GATEWAY:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.plain.sasl.jaas.config=${PLAIN} required user_alice="a-secret";
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=${SCRAM} required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=${SCRAM} required;
ssl.keystore.type=PEM
ssl.keystore.location=${dir}/both.pem
log.dirs=${dir}/data
auto.create.topics.enable=false
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
`;
}
