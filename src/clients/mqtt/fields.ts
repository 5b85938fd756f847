import { z } from 'zod';
import { clientTls, duration, port, secret } from '../../component/fields.ts';
import type { Fail, Filled } from '../../component/settings.ts';

const BROKER = /^(?:mqtts?|wss?):\/\/(?:[^@\s/]*@)?(?:\[[^\]\s]+\]|[^:@/\s?#]+)(?::\d{1,5})?(?:\/[^\s]*)?$/i;

/** The fields of every MQTT client. */
export const mqttFields = {
  url: secret(
    z
      .string()
      .regex(
        BROKER,
        'not a broker; expected one like mqtt://host:1883, mqtts://host:8883 or wss://host/mqtt',
      ),
  )
    .optional()
    .meta({ secret: true })
    .describe(
      'The broker: `mqtt://host:1883`, `mqtts://host:8883` with TLS, or over WebSocket `ws://host:8080/mqtt` and `wss://…`. Or use `host` and `port`.',
    ),
  host: z.string().min(1).optional().describe('The broker’s host, in place of `url`.'),
  port: port.optional().describe('The broker’s port, with `host`. Default: 1883, or 8883 with `tls`.'),
  protocol_version: z
    .union([z.literal(4), z.literal(5)])
    .default(5)
    .describe('5 for MQTT 5, or 4 for MQTT 3.1.1.'),
  username: z.string().min(1).optional().describe('The user.'),
  password: secret(z.string()).optional().meta({ secret: true }).describe('The password.'),
  password_file: z.string().optional().describe('A file that holds the password, read at each attempt.'),
  keep_alive: duration('s', { min: 1_000, max: 65_535_000 })
    .default(60_000)
    .describe('How often the client and the broker hear of each other at least. Whole seconds.'),
  tls: clientTls.optional().describe('TLS, also where the URL does not ask for it.'),
  timeout: duration('s', { min: 1 })
    .default(5_000)
    .describe(
      'How long the broker may take to answer: to connect, and to confirm what it was sent. Then the connection counts as lost.',
    ),
};

export type MqttConfig = Filled<typeof mqttFields> & { readonly client_id?: string | undefined };

/** Reports mistakes in the combination of the fields. */
export function checkMqtt({ url, host, port: given, password, password_file }: MqttConfig, fail: Fail): void {
  if ((url === undefined) === (host === undefined)) fail([], 'expected one of url, host');
  if (given !== undefined && host === undefined) fail(['port'], 'needs `host`; a port of `url` stands in it');
  if (password !== undefined && password_file !== undefined)
    fail([], 'expected one of password, password_file');
}

export const qos = z.union([z.literal(0), z.literal(1), z.literal(2)]);
