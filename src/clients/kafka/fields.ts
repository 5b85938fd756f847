import { z } from 'zod';
import { clientTls, duration, secret } from '../../component/fields.ts';
import { settings, type Filled } from '../../component/settings.ts';

/** A broker: with or without its port. */
const BROKER = /^(?:\[[^\]\s]+\]|[^:@/\s]+)(?::\d{1,5})?$/;

const sasl = settings(
  {
    mechanism: z
      .enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
      .describe('How the password is proven. Use `PLAIN` with `tls` only: it sends the password as it is.'),
    username: z.string().min(1).describe('The user.'),
    password: secret(z.string()).optional().meta({ secret: true }).describe('The password.'),
    password_file: z.string().optional().describe('A file that holds the password, read at each attempt.'),
  },
  ({ password, password_file }, fail) => {
    if ((password === undefined) === (password_file === undefined))
      fail([], 'expected one of password, password_file');
  },
);

/** The fields of every Kafka client. */
export const kafkaFields = {
  brokers: z
    .union([z.string(), z.array(z.string()).min(1)])
    .transform((given, context) => {
      const brokers = [given].flat().flatMap((each) => each.split(',').map((broker) => broker.trim()));
      for (const broker of brokers) {
        if (BROKER.test(broker)) continue;
        const message =
          'not a Kafka broker; expected one like host:9092, or several with commas between them';
        context.addIssue({ code: 'custom', message });
      }
      return brokers;
    })
    .describe(
      'Some brokers of the cluster, such as `host:9092`: a list, or text with commas. They name the others.',
    ),
  client_id: z
    .string()
    .min(1)
    .default('millrace')
    .describe('The name of this client, which the brokers use in logs and quotas.'),
  sasl: sasl.optional().describe('How to prove who you are.'),
  tls: clientTls.optional().describe('TLS. Without it, the connection is not encrypted.'),
  timeout: duration('s', { min: 100 })
    .default(5_000)
    .describe(
      'How long the brokers may take to answer: to connect, and to confirm what they were sent. Then the connection counts as lost.',
    ),
};

export type KafkaConfig = Filled<typeof kafkaFields>;
