import { defineOutput } from '../../../component/define.ts';
import { WebSocketClientOutput } from './client.ts';
import { listens, schema } from './config.ts';
import { WebSocketListenOutput } from './listen.ts';
import { WebSocketReplyOutput } from './reply.ts';
import { WebSocketSessionsOutput } from './sessions.ts';

/** Sends messages over WebSocket: to a server, to the sessions of a server here, or back to their senders. */
export const websocketOutput = defineOutput({
  type: 'websocket',
  summary: 'Sends messages to a WebSocket server, to the clients of one, or back to their senders.',
  status: 'beta',
  framing: 'own',
  description: `JSON and text go out as text frames, other payloads in the kind of frame that they came in. If that kind is unknown, they go out as text if they are valid UTF-8, and as binary otherwise. WebSocket has no acknowledgement, so the meaning of a confirmation depends on the mode:

- \`client\`: the system has taken the message. Messages that the network or the server loses after that are lost. When the connection breaks in the middle of a batch, the whole batch is sent again, so the server may get messages twice. While there is no connection, messages wait. Messages from the server are dropped.
- \`server\`: each session that the message is for has it in its buffer, which is bounded. Messages that a session has not been sent when it ends are lost; nothing is sent again. Without a session to send to, the message is dropped and confirmed (\`millrace_messages_dropped_total\`, reason \`nobody\`). Messages from clients to an output that listens are dropped.
- \`reply\`: the system has taken the message; with \`slow_consumer: drop_oldest\`, it is in the session's buffer. Messages of one session stay in order. A message whose session has closed is rejected with MILLRACE_SESSION_CLOSED, and one without \`session_id\` in its \`__meta_ext\` with MILLRACE_OUTPUT_REFUSED; they go to \`error_output\`. Replies work with inputs in both modes.

When a session's buffer is full, Millrace waits as long as the session takes at least one buffer a second. A session that takes less is slow, and \`slow_consumer\` applies.`,
  schema,
  examples: [
    {
      title: 'Forward to a server',
      yaml: 'type: websocket\nurl: wss://hub.example.com/in\nheaders:\n  Authorization: "Bearer ${TOKEN}"\n',
    },
    {
      title: 'Listen, and send every message to all clients',
      yaml: 'type: websocket\nmode: server\nhost: 127.0.0.1\nport: 8081\npath: /results\n',
    },
    {
      title: 'To the clients of an input on `/chat/:room` in the same room as the sender',
      yaml: 'type: websocket\nmode: server\npath: /chat/:room\nmatch:\n  param.room: "{{meta:param.room}}"\n',
    },
    { title: 'Answer', yaml: 'type: websocket\nmode: reply\n' },
  ],
  create: (config, context) => {
    if (config.mode === 'client') return new WebSocketClientOutput(config, context);
    if (config.mode === 'reply') return new WebSocketReplyOutput(config, context);
    return listens(config)
      ? new WebSocketListenOutput(config, context)
      : new WebSocketSessionsOutput(config, context);
  },
});
