/**
 * What a module will ask for later, when one of its functions runs: `import("./a.js")` and `require("./a.cjs")` of a
 * literal.
 *
 * Read off the text. A match inside a comment names a file too much, which only makes the version stricter.
 */
import { statSync } from "node:fs";
import { dirname, extname, resolve } from "node:path";

const CALLS = /\b(?:import|require)\s*\(\s*(["'`])([^"'`\n$]+)\1/g;
const STATEMENTS =
  /(?:^|[;}\s])(?:import|export)\s+(?!type\b)(?:[\w*{}\s,$]+?\s*from\s*)?(["'])([^"'\n]+)\1/g;
const EXTENSIONS = [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".json"];

/** @param whole of a module that is not loaded yet: its imports at the top too */
export function lazySpecifiers(text: string, whole: boolean): string[] {
  const found = [...text.matchAll(CALLS), ...(whole ? text.matchAll(STATEMENTS) : [])];
  return found.map((match) => match[2]!);
}

/**
 * The file that a relative specifier means, with or without extension, or with that of what TypeScript compiles it to.
 */
export function relativeModule(specifier: string, from: string): string | undefined {
  const path = resolve(dirname(from), specifier);
  const extension = extname(path);
  const compiledFrom = /^\.[cm]?js$/.test(extension)
    ? [path.slice(0, -extension.length) + extension.replace("js", "ts")]
    : [];
  const candidates = [
    path,
    ...compiledFrom,
    ...EXTENSIONS.map((one) => path + one),
    ...EXTENSIONS.map((one) => resolve(path, `index${one}`)),
  ];
  return candidates.find((candidate) => statSync(candidate, { throwIfNoEntry: false })?.isFile());
}
