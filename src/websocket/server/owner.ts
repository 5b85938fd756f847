import { extText, type Ext } from '../../message/metadata.ts';
import { addressGroup } from '../../net/proxies.ts';

/** Whom limits that are shared by connections count for: the subject that they authenticated as, else their address. */
export function ownerOf(ext: Ext): string {
  const [subject, address = ''] = [extText(ext, 'subject'), extText(ext, 'remote_address')];
  return subject === undefined ? `address ${addressGroup(address)}` : `subject ${subject}`;
}
