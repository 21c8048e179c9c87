/** The table of checkpointing's rules names files that exist. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("every file that docs/checkpointing.md names is there", () => {
  const text = readFileSync("docs/checkpointing.md", "utf8");
  const named = [...text.matchAll(/`((?:machines|src|test)\/[^`]+)`/g)].map(([, path = ""]) => path);
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter((path) => !existsSync(path))).toEqual([]);
  const rows = [...text.matchAll(/^\| (\d+(?:, \d+)*) \|/gm)].flatMap(([, ids = ""]) => ids.split(", "));
  expect(rows.map(Number)).toEqual(Array.from({ length: 58 }, (_, i) => i + 1));
});
