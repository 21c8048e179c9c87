/** Commands in messages: what a shell hands to the program is what was meant. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { shellCommand } from "../src/shell-command.ts";

const words = [
  "COUNTS",
  "--subjects=$KV.totals.>,orders.*.eu",
  "$HOME",
  "`id`",
  "a b",
  "it's",
  '"quoted"',
  "back\\slash",
  "",
  "--note=",
  "tab\there;rm -rf ~ & (x) | y < z # {a,b} [c]? !1",
  "größe",
  "~",
  "-",
];

test("every word reaches the program unchanged", () => {
  const command = shellCommand("printf", "%s\\0", ...words);
  const arrived = execFileSync("/bin/sh", ["-c", command], { encoding: "utf8" }).split("\0").slice(0, -1);
  expect(arrived).toEqual(words);
});

test("only what a shell would change is quoted, and of a flag only its value", () => {
  expect(shellCommand("nats", "stream", "edit", "OUT", "--subjects=$KV.x.>,a", "--force")).toBe(
    "nats stream edit OUT --subjects='$KV.x.>,a' --force",
  );
});
