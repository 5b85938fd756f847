import { missing } from './machine.ts';

/** Says once what the machine lacks; the tests that need it are skipped. */
export function setup(): void {
  const lacking = missing();
  if (lacking.length === 0) return;
  console.log(
    `Tests that need ${lacking.join(', ')} are skipped: this machine lacks it. On Debian, install it with: npm run test:setup`,
  );
}
