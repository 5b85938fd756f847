import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { ServerAuth } from './auth-schema.ts';
import type { Authenticator, Verdict } from './authenticator.ts';

/** Accepts a client by its certificate. TLS has checked that an authority of `tls.ca_file` signed it. */
export class MutualTlsAuth implements Authenticator {
  readonly challenge = 'Mutual';
  readonly #subjects: ReadonlySet<string> | undefined;

  constructor(config: Extract<ServerAuth, { type: 'mtls' }>) {
    this.#subjects = config.subjects && new Set(config.subjects);
  }

  async open(): Promise<void> {}

  close(): void {}

  authenticate(request: IncomingMessage): Verdict {
    const { authorized, encrypted } = request.socket as TLSSocket;
    if (!encrypted || !authorized) return { outcome: 'forbidden', cause: 'no certificate' };
    // A certificate may have several common names, or none; then it names nobody.
    const name: unknown = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
    const subject = typeof name === 'string' && name !== '' ? name : undefined;
    if (this.#subjects === undefined || (subject !== undefined && this.#subjects.has(subject))) {
      return { outcome: 'known', subject };
    }
    return { outcome: 'forbidden', cause: `the certificate of ${subject ?? 'nobody'} is not listed` };
  }
}
