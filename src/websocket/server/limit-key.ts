import { extText, type Ext } from '../../message/metadata.ts';
import { addressGroup } from '../../net/proxies.ts';

/** The key under which shared limits count a connection: the subject that it authenticated as, else its address. */
export function limitKeyOf(ext: Ext): string {
  const [subject, address = ''] = [extText(ext, 'subject'), extText(ext, 'remote_address')];
  return subject === undefined ? `address ${addressGroup(address)}` : `subject ${subject}`;
}
