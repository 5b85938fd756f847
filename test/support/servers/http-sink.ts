import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { serverOf, type Server } from './server.ts';

/** Appends the lines of each request to a file before it answers, as a program that can be killed does. */
const PROGRAM = `
const { appendFileSync } = require('node:fs');
const [, port, file] = process.argv;
require('node:http').createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (chunk) => (body += chunk)).on('end', () => {
    if (body !== '') appendFileSync(file, body.endsWith('\\n') ? body : body + '\\n');
    response.end();
  });
}).listen(Number(port), '127.0.0.1');
`;

const file = (dir: string): string => join(dir, 'received');

/** A server of HTTP in a process of its own, for `http` outputs that write lines. */
export async function httpSink(): Promise<Server> {
  return await serverOf({
    tool: process.execPath as `/${string}`,
    prepare: ({ dir }) => appendFileSync(file(dir), ''),
    command: ({ program, dir, port }) => [program, '-e', PROGRAM, String(port), file(dir)],
    ready: async ({ port }) =>
      (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })).ok,
  });
}

/** The lines that it has received, in order. */
export function received({ dir }: Server): string[] {
  return existsSync(file(dir)) ? readFileSync(file(dir), 'utf8').split('\n').slice(0, -1) : [];
}
