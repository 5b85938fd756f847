import type { TemplateNames } from '../../component/template.ts';

/** What `{{…}}` may name in what a server sends to a session when it opens. */
export const sessionNames: TemplateNames = {
  'meta:': 'an entry of the session’s `__meta_ext`, such as `meta:session_id`',
  now: 'the time, ISO 8601 in UTC',
  now_ms: 'the time, in milliseconds since the epoch',
  now_s: 'the time, in seconds since the epoch',
};
