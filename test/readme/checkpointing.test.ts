/** The tables of checkpointing's rules name code that is there and, by their titles, tests that are there. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

interface Row {
  readonly name: string;
  readonly livesIn: string;
  readonly shownBy: string;
}

interface Shown {
  readonly file: string;
  readonly titles: readonly string[];
}

const text = readFileSync("docs/checkpointing.md", "utf8");
const [tables = "", loops = ""] = text.split("\n## Loops\n");
const [statement = ""] = loops.split("\n|");

/** The rows of both tables: a feature's row begins with its numbers, a protocol rule's with its name. */
const rows: readonly Row[] = tables
  .split("\n")
  .filter((line) => line.startsWith("| ") && !/^\| (?:#|rule) \|/.test(line))
  .map((line) => {
    const cells = line.split("|").map((cell) => cell.trim());
    const [name = "", livesIn = "", shownBy = ""] = /^\d/.test(cells[1] ?? "")
      ? [`${cells[1]} ${cells[2]}`, cells[3], cells[4]]
      : [cells[1], cells[2], cells[3]];
    return { name, livesIn, shownBy };
  });

/** Each test file that `cell` names, with the quoted titles that follow it up to the next file. */
function shown(cell: string): readonly Shown[] {
  // A title may go on in the next line.
  const line = cell.replace(/\s+/g, " ");
  return [...line.matchAll(/`(test\/[^`]+)`([^`]*)/g)].map(([, file = "", after = ""]) => ({
    file,
    titles: [...after.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => title),
  }));
}

/**
 * The titles of the tests in `file`: the string that `it`, `test`, `describe`, or what their `each` and the like give,
 * is called with first, and a golden trace's story. A test that is skipped or commented out has none. A title goes
 * without the rules that a story names behind it.
 */
function titlesOf(file: string): ReadonlySet<string> {
  const code = readFileSync(file, "utf8").replace(/^\s*(?:\/\/|\*|\/\*).*$/gm, "");
  const called =
    /(?:(?<![.\w])(?:it|test|describe|\w*[sS]tory)|\))\(\s*(?:"((?:[^"\\\n]|\\.)+)"|`([^`]+)`)\s*,/g;
  return new Set(
    [...code.matchAll(called)].map(([, plain, template]) =>
      (plain ?? template ?? "").replace(/ {3}\(.*\)$/, ""),
    ),
  );
}

function missingTitles(cell: string): readonly string[] {
  return shown(cell).flatMap(({ file, titles }) => {
    if (!existsSync(file)) return [`${file} is not there`];
    const present = titlesOf(file);
    return titles.filter((title) => !present.has(title)).map((title) => `${file} has no test "${title}"`);
  });
}

describe("docs/checkpointing.md", () => {
  it("has a row for each feature", () => {
    const ids = rows.flatMap(({ name }) => /^\d+(?:, \d+)*/.exec(name)?.[0].split(", ") ?? []);
    expect(ids.map(Number)).toEqual(Array.from({ length: 58 }, (_, i) => i + 1));
    expect(rows.length).toBeGreaterThan(60);
  });

  it("names only files that are there", () => {
    const named = [...text.matchAll(/`((?:machines|src|test)\/[^`]+)`/g)].map(([, path = ""]) => path);
    expect(named.length).toBeGreaterThan(100);
    expect(named.filter((path) => !existsSync(path))).toEqual([]);
  });

  it("names the title of a test for each row that lives somewhere, and for each test file", () => {
    const bare = rows.filter(({ livesIn, shownBy }) => {
      const tests = shown(shownBy);
      return (livesIn !== "" && tests.length === 0) || tests.some(({ titles }) => titles.length === 0);
    });
    expect(bare.map(({ name }) => name)).toEqual([]);
    expect(shown(statement).length).toBeGreaterThan(0);
    expect(shown(statement).filter(({ titles }) => titles.length === 0)).toEqual([]);
  });

  it("names no title that says nothing without its parameters", () => {
    const titles = rows.flatMap(({ shownBy }) => shown(shownBy).flatMap((each) => each.titles));
    const wordsOf = (title: string) => title.replace(/%\w|\$\w+/g, "").match(/\w+/g) ?? [];
    expect(titles.filter((title) => wordsOf(title).length < 2)).toEqual([]);
  });

  it("names only titles that the named file has", () => {
    expect([
      ...rows.flatMap(({ name, shownBy }) => missingTitles(shownBy).map((what) => `${name}: ${what}`)),
    ]).toEqual([]);
    expect(missingTitles(statement)).toEqual([]);
  });
});
