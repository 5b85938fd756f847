import { addressGroup } from '../../net/proxies.ts';

/** Whom limits that are shared by connections count for: the subject that they authenticated as, else their address. */
export function ownerOf(ext: Readonly<Record<string, string>>): string {
  const { subject, remote_address: address = '' } = ext;
  return subject === undefined ? `address ${addressGroup(address)}` : `subject ${subject}`;
}
