/**
 * Rules and invariants are cited by an id: (P17), (S2), (RW1). Each id means one thing, and each citation finds it.
 *
 * P rules and C invariants stand in machines/PROTOCOL.md, decisions (D) in src/README.md, an invariant of a file at its
 * head. A machine's ids have one letter, those of other files two.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

interface Place {
  readonly id: string;
  /** `src/a.ts:7` */
  readonly at: string;
}

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const BOOKS = ["machines/PROTOCOL.md", "src/README.md"];
const TEXTS = [...BOOKS, "machines/README.md", "docs/checkpointing.md", "test/README.md", "README.md"];

const ID = /(?<![\w./#$-])[A-Z]{1,2}\d{1,2}(?![\w-])/g;
/** These look like ids and are none: an engine, a workload, a display, the queries of Nexmark. */
const NO_IDS = /^(V8|W1|X11|Q\d+)$/;

const COMMENT = /^\s*(?:\/?\*|\/\/).*/;
const FILE = /(?<![\w/.-])(?:[\w-]+\/)*[\w-]+\.ts\b/g;
/** A user's files, in examples. */
const EXAMPLES = /^jobs\/count\.ts$/;

const sources = ["src", "machines", "test"].flatMap((room) =>
  readdirSync(ROOT + room, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && file !== "ids.test.ts")
    .map((file) => `${room}/${file}`),
);
const lines = (file: string): readonly string[] => readFileSync(ROOT + file, "utf8").split("\n");

const definitions = [
  ...sources.flatMap((file) => definitionsIn(file, /^ \*\s{1,3}(?:- )?([A-Z]{1,2}\d{1,2})\s/)),
  ...BOOKS.flatMap((file) => definitionsIn(file, /^(?:- )?\*\*([A-Z]{1,2}\d{1,2})\b/)),
];

test("each id is defined once", () => {
  const places = new Map<string, string[]>();
  for (const { id, at } of definitions) places.set(id, [...(places.get(id) ?? []), at]);
  expect([...places].filter(([, at]) => at.length > 1)).toEqual([]);
});

test("the heads of files and the books define what they are known for", () => {
  const known = new Set(definitions.map(({ id }) => id));
  expect(["C3", "D5", "P17", "S2", "H2", "RW1"].filter((id) => !known.has(id))).toEqual([]);
});

test("each citation finds its definition", () => {
  const known = new Set(definitions.map(({ id }) => id));
  const cited = [...sources.flatMap(citationsInCode), ...TEXTS.flatMap(citationsInText)];
  expect(cited.length).toBeGreaterThan(500);
  expect(cited.filter(({ id }) => !known.has(id) && !NO_IDS.test(id))).toEqual([]);
});

test("each file that a comment names is there", () => {
  const named = sources.flatMap((file) =>
    lines(file).flatMap((line, i) =>
      [...(COMMENT.exec(line)?.[0] ?? "").matchAll(FILE)].map(([name]) => ({ name, at: `${file}:${i + 1}` })),
    ),
  );
  expect(named.length).toBeGreaterThan(100);
  const isThere = (name: string) => sources.some((file) => `/${file}`.endsWith(`/${name}`));
  expect(named.filter(({ name }) => !isThere(name) && !EXAMPLES.test(name))).toEqual([]);
});

function definitionsIn(file: string, form: RegExp): Place[] {
  return lines(file).flatMap((line, i) => {
    const id = form.exec(line)?.[1];
    return id === undefined || NO_IDS.test(id) ? [] : [{ id, at: `${file}:${i + 1}` }];
  });
}

/** In comments, and in titles of tests: between parentheses, or after `rule:` of a seeded bug. */
function citationsInCode(file: string): Place[] {
  return lines(file).flatMap((line, i) => {
    const comment = /^\s*(?:\/?\*|\/\/)(.*)|\s\/\/ (.*)$/.exec(line);
    const title = /"[^"]*\(([^()"]*)\)"|\brule: "([^"]*)"/.exec(line);
    const words = [comment?.[1] ?? comment?.[2] ?? "", title?.[1] ?? title?.[2] ?? ""];
    return words.flatMap((text) => idsIn(text, `${file}:${i + 1}`));
  });
}

function citationsInText(file: string): Place[] {
  return lines(file).flatMap((line, i) => idsIn(line, `${file}:${i + 1}`));
}

function idsIn(text: string, at: string): Place[] {
  return [...text.matchAll(ID)].map(([id]) => ({ id, at }));
}
