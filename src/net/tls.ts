import type { TlsFiles } from '../component/fields.ts';
import { readWholeFile } from '../component/whole-file.ts';
import { declareErrors, MillraceError, errorMessage } from '../errors.ts';

/** The code for certificates and keys. */
export const tlsErrors = declareErrors({
  MILLRACE_TLS_INVALID: {
    help: 'A certificate or key file cannot be read or used.',
  },
});

/** The contents of the files, as Node's TLS expects them. @throws MillraceError MILLRACE_TLS_INVALID */
export async function loadTls(files: TlsFiles) {
  const load = async (path: string | undefined): Promise<Buffer | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await readWholeFile(path);
    } catch (error) {
      throw new MillraceError(tlsErrors.MILLRACE_TLS_INVALID, `cannot read ${path}: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  };
  const [ca, cert, key] = await Promise.all([
    load(files.ca_file),
    load(files.cert_file),
    load(files.key_file),
  ]);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}
