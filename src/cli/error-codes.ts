import { framingErrors } from '../component/framing/records.ts';
import { codecErrors } from '../component/payloads.ts';
import { listenErrors } from '../component/listeners.ts';
import { messageValueErrors } from '../clients/message-value.ts';
import { debeziumErrors } from '../components/codecs/debezium-json.ts';
import { httpErrors } from '../components/outputs/http/http.ts';
import { switchErrors } from '../components/outputs/switch/switch.ts';
import { sessionErrors } from '../components/outputs/websocket/reply.ts';
import { configErrors } from '../config/load.ts';
import { cursorErrors } from '../delivery/cursor-file.ts';
import { logErrors } from '../delivery/log/faults.ts';
import { baseErrors, type DeclaredError } from '../errors.ts';
import { authErrors } from '../net/auth/secret-file.ts';
import { wireErrors } from '../message/wire-errors.ts';
import { tlsErrors } from '../net/tls.ts';
import { crashErrors } from '../runtime/culprits.ts';
import { shutdownErrors } from '../runtime/member.ts';
import { outputErrors } from '../runtime/pending-write.ts';
import { contractErrors } from '../runtime/contract.ts';
import { reconnectErrors } from '../runtime/retry.ts';
import { retryErrors } from '../runtime/trial.ts';
import { sqlErrors } from '../sql/sql-errors.ts';
import { stopErrors } from '../websocket/client/policy.ts';
import { commandErrors } from './command-errors.ts';

/** Every error code that comes with Millrace, with its meaning. `docs/reference/errors.md` is generated from it. */
export const errorCodes: Readonly<Record<string, DeclaredError>> = {
  ...baseErrors,
  ...configErrors,
  ...contractErrors,
  ...reconnectErrors,
  ...outputErrors,
  ...messageValueErrors,
  ...retryErrors,
  ...switchErrors,
  ...httpErrors,
  ...stopErrors,
  ...listenErrors,
  ...tlsErrors,
  ...authErrors,
  ...cursorErrors,
  ...logErrors,
  ...wireErrors,
  ...framingErrors,
  ...codecErrors,
  ...debeziumErrors,
  ...crashErrors,
  ...sqlErrors,
  ...sessionErrors,
  ...commandErrors,
  ...shutdownErrors,
};
