/**
 * Commands in messages, so that the user can copy them: every word reaches the program as it was meant.
 *
 * Words that a POSIX shell would change ("$KV.totals.>", "a b") stand in single quotes. Of a flag with a value only the
 * value does: --subjects='a.>,b.>'.
 */

/** @param words the program and its arguments; what a flag and its value are is one word, "--name=value" */
export function shellCommand(...words: readonly string[]): string {
  return words.map(quotedWord).join(" ");
}

function quotedWord(word: string): string {
  const flag = FLAG_START.exec(word)?.[0] ?? "";
  return flag + quoted(word.slice(flag.length));
}

function quoted(text: string): string {
  return text !== "" && !UNSAFE.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

const FLAG_START = /^--?[A-Za-z][\w-]*=/;
const UNSAFE = /[^\w./:@%+,=…-]/;
