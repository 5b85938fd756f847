import type { Subject } from './subject.ts';

export const math: Subject = {
  title: 'Math',
  own: 'abs acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh cot degrees exp factorial floor gcd isnan lcm ln log log10 log2 pi pow power radians random round sin sinh sqrt tan tanh trunc',
  macros: {
    iszero: { x: 'x = 0' },
    nanvl: { 'x, y': 'CASE WHEN isnan(x) THEN y ELSE x END' },
    signum: { x: 'CASE WHEN isnan(x) THEN x ELSE sign(x)::DOUBLE END' },
  },
  differs: {},
  missing: {},
};

export const conditions: Subject = {
  title: 'Conditions',
  own: 'coalesce greatest ifnull least nullif',
  macros: {
    nvl: { 'x, y': 'coalesce(x, y)' },
    nvl2: { 'x, y, z': 'CASE WHEN x IS NULL THEN z ELSE y END' },
  },
  differs: {},
  missing: {},
};

export const hashes: Subject = {
  title: 'Hashes',
  own: 'md5',
  macros: {
    digest: {
      'x, algorithm': `CASE lower(algorithm) WHEN 'md5' THEN unhex(md5(x)) WHEN 'sha256' THEN unhex(sha256(x)) ELSE error('digest: ' || algorithm || ' is not available; expected md5 or sha256') END`,
    },
  },
  differs: {
    sha256: 'It is the text of the hexadecimal digits, not bytes. `unhex(sha256(x))` is the bytes.',
  },
  missing: {
    sha224: '`sha256`, `sha1` or `md5`',
    sha384: '`sha256`, `sha1` or `md5`',
    sha512: '`sha256`, `sha1` or `md5`',
  },
};
