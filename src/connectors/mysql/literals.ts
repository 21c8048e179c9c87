/** Names and values as MySQL and MariaDB read them in a statement. */

/** Exactly as given, whatever letters it has. */
export function quoted(name: string): string {
  return `\`${name.replaceAll("`", "``")}\``;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that the servers want escaped
const ESCAPED = /[\0\n\r\x1a'"\\]/g;
const ESCAPES: Readonly<Record<string, string>> = {
  "\0": "\\0",
  "\n": "\\n",
  "\r": "\\r",
  "\x1a": "\\Z",
  "'": "\\'",
  '"': '\\"',
  "\\": "\\\\",
};

/** Within a session whose backslashes escape. */
export function literalText(text: string): string {
  return `'${text.replace(ESCAPED, (one) => ESCAPES[one]!)}'`;
}

export function literalBytes(bytes: Uint8Array): string {
  return `x'${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}'`;
}
