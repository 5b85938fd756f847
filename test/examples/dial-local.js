// Loaded before Millrace: what it would dial at secure.example.com:443 goes to the test's own server.
import tls from 'node:tls';
import { readFileSync } from 'node:fs';

const connect = tls.connect;
tls.connect = (options) =>
  connect({
    ...options,
    host: '127.0.0.1',
    port: Number(process.env.TEST_PORT),
    ca: readFileSync(process.env.TEST_CA),
    // The certificate is for localhost; that the name asked for is the URL's, the server checks.
    checkServerIdentity: () => undefined,
  });
