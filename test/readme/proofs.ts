/** The proofs that documents cite for their rules: test files, each with the titles of tests in it. */
import { existsSync, readFileSync } from "node:fs";

export interface Shown {
  readonly file: string;
  readonly titles: readonly string[];
}

/** Each test file that `cell` names, with the quoted titles that follow it up to the next file. */
export function shown(cell: string): readonly Shown[] {
  // A title may go on in the next line.
  const line = cell.replace(/\s+/g, " ");
  return [...line.matchAll(/`(test\/[^`]+)`([^`]*)/g)].map(([, file = "", after = ""]) => ({
    file,
    titles: [...after.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => title),
  }));
}

/**
 * The titles of the tests in `file`: the string that `it`, `test`, `describe`, or what their `each` and the like give,
 * is called with first, a golden trace's story, and the name with which a case of a table of tests begins. A test that
 * is skipped or commented out has none. A title goes without the rules that a story names behind it.
 */
function titlesOf(file: string): ReadonlySet<string> {
  const code = readFileSync(file, "utf8").replace(/^\s*(?:\/\/|\*|\/\*).*$/gm, "");
  const called =
    /(?:(?<![.\w])(?:it|test|describe|\w*[sS]tory)|\))\(\s*(?:"((?:[^"\\\n]|\\.)+)"|`([^`]+)`)\s*,/g;
  const named = /\[\s*"((?:[^"\\\n]|\\.)+)"\s*,/g;
  return new Set(
    [...code.matchAll(called), ...code.matchAll(named)].map(([, plain, template]) =>
      (plain ?? template ?? "").replace(/ {3}\(.*\)$/, ""),
    ),
  );
}

export function missingTitles(cell: string): readonly string[] {
  return shown(cell).flatMap(({ file, titles }) => {
    if (!existsSync(file)) return [`${file} is not there`];
    const present = titlesOf(file);
    return titles.filter((title) => !present.has(title)).map((title) => `${file} has no test "${title}"`);
  });
}

/** The words of a title that do not come from the parameters of its test. */
export function wordsOf(title: string): readonly string[] {
  return title.replace(/%\w|\$\w+/g, "").match(/\w+/g) ?? [];
}
