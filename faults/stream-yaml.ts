import type { Mode } from './fault-options.ts';

/** The fields of a stream of the campaign. `output` and `durability` are their fields, as YAML. */
export interface StreamParts {
  readonly id?: string;
  readonly mode: Mode;
  readonly port: number;
  readonly log: string;
  readonly output: string;
  readonly durability?: string | undefined;
  /** One more field of the input. */
  readonly input?: string | undefined;
  /** One more field of the stream. */
  readonly stream?: string | undefined;
}

/** The configuration of an engine of the campaign. */
export function configYaml(streams: readonly StreamParts[]): string {
  return `
logging: { format: json, level: info }
health_check: { address: "127.0.0.1:0" }
streams:
${streams.map(streamYaml).join('')}`;
}

function streamYaml(parts: StreamParts): string {
  const { id = 'faults', mode, port, log, output, durability = '', input = '', stream = '' } = parts;
  return `
  - id: "${id}"
    input:
      type: websocket
      mode: server
      host: 127.0.0.1
      port: ${port}
      path: /in
      codec: { type: json }
      ack:
        when: ${mode === 'stored' ? 'stored' : 'delivered'}
        id: id
        reply: '{"ack":"{{id}}"}'
      ${input}
    output: { ${output} }
    ${mode === 'delivered, no log' ? '' : `durability: { path: "${log}", ${durability} }`}
    ${stream}
`;
}
