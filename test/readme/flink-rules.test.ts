/** The rules that users of Flink look for name tests that are there, or say that they do not hold and why. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { missingTitles, shown, wordsOf } from "./proofs.ts";

interface Rule {
  readonly number: number;
  readonly flink: string;
  readonly tidemark: string;
  readonly provedBy: string;
}

const text = readFileSync("docs/flink-rules.md", "utf8");

const lines = text.split("\n").filter((line) => /^\| \d/.test(line));

const rules: readonly Rule[] = lines.map((line) => {
  const [, number, flink = "", tidemark = "", provedBy = ""] = line
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
  return { number: Number(number), flink, tidemark, provedBy };
});

describe("docs/flink-rules.md", () => {
  it("numbers its rules in order, each with four cells", () => {
    expect(rules.map(({ number }) => number)).toEqual(rules.map((_, i) => i + 1));
    expect(lines.filter((line) => line.split(/(?<!\\)\|/).length !== 6)).toEqual([]);
    expect(rules.filter(({ flink, tidemark }) => flink === "" || tidemark === "")).toEqual([]);
  });

  it("has rules in each of its tables", () => {
    const sections = text.split("\n## ").slice(1);
    expect(sections.length).toBeGreaterThan(3);
    expect(sections.filter((section) => !/^\| \d/m.test(section))).toEqual([]);
  });

  it("names a test for each rule, or says what is not there and why", () => {
    const bare = rules.filter(({ tidemark, provedBy }) =>
      tidemark.startsWith("not there") ? !/^not there: \S+ \S+/.test(tidemark) : shown(provedBy).length === 0,
    );
    expect(bare).toEqual([]);
  });

  it("names only tests that are there, by titles that say something", () => {
    expect(
      rules.flatMap(({ number, provedBy }) => missingTitles(provedBy).map((what) => `${number}: ${what}`)),
    ).toEqual([]);
    const tests = rules.flatMap(({ provedBy }) => shown(provedBy));
    expect(tests.filter(({ file, titles }) => titles.length === 0 && !file.includes("/stories/"))).toEqual(
      [],
    );
    expect(tests.flatMap(({ titles }) => titles).filter((title) => wordsOf(title).length < 2)).toEqual([]);
  });
});
