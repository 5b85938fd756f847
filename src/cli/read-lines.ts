const LF = 10;
const CR = 13;
const BOM = Buffer.from('\uFEFF');

/**
 * The lines of chunks, in non-empty blocks. Each line comes without its line feed and the carriage return before it,
 * the first without a byte order mark. Only one chunk and one line are in memory. `checked` gets each line with its
 * number from 1, and returns the item to yield.
 * @throws the error that `tooLong` makes of the number of a line that is longer than `limit` bytes
 */
export async function* readLines<T>(
  chunks: AsyncIterable<Buffer>,
  limit: number,
  checked: (line: Buffer, number: number) => T,
  tooLong: (number: number) => Error,
): AsyncGenerator<readonly T[], void, undefined> {
  // A line that has not ended yet.
  let rest: Buffer[] = [];
  let size = 0;
  let number = 0;
  const take = (line: Buffer): T => {
    number++;
    const whole = line.at(-1) === CR ? line.subarray(0, -1) : line;
    const content =
      number === 1 && BOM.equals(whole.subarray(0, BOM.length)) ? whole.subarray(BOM.length) : whole;
    if (content.length > limit) throw tooLong(number);
    return checked(content, number);
  };
  for await (const chunk of chunks) {
    const lines: T[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      const part = chunk.subarray(start, end);
      lines.push(take(rest.length === 0 ? part : Buffer.concat([...rest, part])));
      rest = [];
      size = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      rest.push(chunk.subarray(start));
      size += chunk.length - start;
      // One more for a carriage return.
      if (size > limit + 1) throw tooLong(number + 1);
    }
    if (lines.length > 0) yield lines;
  }
  if (rest.length > 0) yield [take(Buffer.concat(rest))];
}
