/**
 * The owner of a key of `Keys`, which is its prefix: `5:alice` in `5:alice"id-7`; empty for a key without an owner. The
 * rest is the owner's key: `"` and the characters of a string, the digits of a number or a word as sent, or `#` and the
 * hash of a long key.
 */
export function ownerOf(key: string): string {
  const [prefix, length] = /^(\d+):/.exec(key) ?? [];
  return prefix === undefined ? '' : key.slice(0, prefix.length + Number(length));
}
