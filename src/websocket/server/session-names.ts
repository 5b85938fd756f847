import type { TemplateNames } from '../../component/template.ts';
import { timeNames } from '../../component/time-values.ts';

/** The names that `{{…}}` may hold in the message that a server sends to a session when it opens. */
export const sessionNames: TemplateNames = {
  'meta:': 'an entry of the session’s `__meta_ext`, such as `meta:session_id`',
  ...timeNames,
};
