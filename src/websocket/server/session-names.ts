import type { TemplateNames } from '../../component/template.ts';
import { timeNames } from '../../component/time-values.ts';

/** What `{{…}}` may name in what a server sends to a session when it opens. */
export const sessionNames: TemplateNames = {
  'meta:': 'an entry of the session’s `__meta_ext`, such as `meta:session_id`',
  ...timeNames,
};
