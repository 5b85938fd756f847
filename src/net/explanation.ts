import type { IncomingMessage } from 'node:http';

/** In bytes. A longer text is a page, not a reason. */
const LONGEST = 500;

/** How long a server may take to send its reason, in milliseconds. */
const PATIENCE = 1_000;

/** Calls `done` once, with the server's reason for refusing a handshake, or with undefined. */
export function readExplanation(response: IncomingMessage, done: (text: string | undefined) => void): void {
  const { statusCode = 0, headers } = response;
  const length = Number(headers['content-length']);
  const isText =
    /^text\/plain\b/i.test(headers['content-type'] ?? '') && headers['content-encoding'] === undefined;
  if (statusCode < 400 || !isText || !(length > 0 && length <= LONGEST)) return done(undefined);
  const chunks: Buffer[] = [];
  const finish = (): void => {
    clearTimeout(timer);
    response.off('end', finish).off('close', finish);
    const text = Buffer.concat(chunks).toString().trim();
    done(response.complete && text !== '' ? text : undefined);
  };
  const timer = setTimeout(finish, PATIENCE);
  response
    .on('data', (chunk: Buffer) => chunks.push(chunk))
    .on('error', () => {})
    .on('end', finish)
    .on('close', finish);
}
