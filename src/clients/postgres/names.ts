/** An identifier as it stands in SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The name of a table, with or without its schema, as it stands in SQL: `public.readings` is `"public"."readings"`. */
export function quotedTable(name: string): string {
  return name.split('.').map(quoted).join('.');
}
