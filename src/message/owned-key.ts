/**
 * Whose a key of `Keys` is: what it begins with, `5:alice` in `5:alice"id-7`; empty for one that is everybody's. What
 * follows is the key among its owner's: `"` and the characters of a string, a number's digits or a word as they were sent,
 * or `#` and the hash of one that is long.
 */
export function ownerOf(key: string): string {
  const [prefix, length] = /^(\d+):/.exec(key) ?? [];
  return prefix === undefined ? '' : key.slice(0, prefix.length + Number(length));
}
