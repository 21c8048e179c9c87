/** The tables of checkpointing's rules name code that is there and, by their titles, tests that are there. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { missingTitles, shown, wordsOf } from "./proofs.ts";

interface Row {
  readonly name: string;
  readonly livesIn: string;
  readonly shownBy: string;
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
    expect(titles.filter((title) => wordsOf(title).length < 2)).toEqual([]);
  });

  it("names only titles that the named file has", () => {
    expect([
      ...rows.flatMap(({ name, shownBy }) => missingTitles(shownBy).map((what) => `${name}: ${what}`)),
    ]).toEqual([]);
    expect(missingTitles(statement)).toEqual([]);
  });
});
