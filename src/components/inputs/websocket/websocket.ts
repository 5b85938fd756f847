import { defineInput } from '../../../component/define.ts';
import { WebSocketClientInput } from './client.ts';
import { schema } from './config.ts';
import { joinedConnections } from './connections.ts';
import { WebSocketServerInput } from './server.ts';

/** Messages from WebSocket connections (RFC 6455): as a client of one server, or as a server of many clients. */
export const websocketInput = defineInput({
  type: 'websocket',
  givesBytes: true,
  summary: 'Consumes messages from WebSocket connections, as a client or as a server.',
  status: 'stable',
  framing: 'own',
  schema,
  examples: [
    {
      title: 'Server',
      yaml: 'type: websocket\nmode: server\nhost: 127.0.0.1\nport: 8080\npath: /ws\ncodec:\n  type: json\n',
    },
    { title: 'Client', yaml: 'type: websocket\nurl: ws://localhost:8080/ws\n' },
    {
      title: 'Client with TLS and a token',
      yaml: 'type: websocket\nurl: wss://feed.example.com/ws\nheaders:\n  Authorization: "Bearer ${TOKEN}"\ntimeout: 5\nreconnect:\n  max: 1m\n',
    },
  ],
  create: (config, context) => {
    const joined = joinedConnections(config, context);
    if (joined !== undefined) return joined;
    return config.mode === 'server'
      ? new WebSocketServerInput(config, context)
      : new WebSocketClientInput(config, context);
  },
});
