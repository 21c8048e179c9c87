/** Names and texts as PostgreSQL reads them in a statement. */

/** Exactly as given, whatever letters it has. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function qualified(schema: string, table: string): string {
  return `${quoted(schema)}.${quoted(table)}`;
}

/** A text in a statement that takes no values. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
