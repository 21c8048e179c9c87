/** What an error says may hold what a record held: it steers no terminal, hides nothing, and has an end. */
import { expect, test } from "vitest";
import { describeError, EnvironmentError, OperatorError } from "../src/errors.ts";

test.each([
  ["an escape sequence", "\u001b[2Jgone", "\\u001b[2Jgone"],
  ["a bell and NUL", "a\u0007b\u0000", "a\\u0007b\\u0000"],
  ["a carriage return, which would overwrite the line", "bad\rgood", "bad\\u000dgood"],
  ["C1 controls, which are escapes to some terminals", "\u009b2J", "\\u009b2J"],
  ["a BOM", "\ufeff{}", "\\ufeff{}"],
  ["marks that turn the direction of text", "a\u202eb", "a\\u202eb"],
  ["invisible characters", "pay\u200bpal\u00ad", "pay\\u200bpal\\u00ad"],
  ["line separators", "a\u2028b", "a\\u2028b"],
  ["half a surrogate pair", "x\ud83d", "x\\ud83d"],
  ["what is hidden beyond the basic plane", "\u{e0041}", "\\u{e0041}"],
  ["what can be seen", "Zürich 東京 😀\n\\n", "Zürich 東京 😀\n\\n"],
])("%s is shown", (_, text, shown) => {
  expect(describeError(new OperatorError("parse", new Error(text)))).toBe(
    `operator "parse" failed: ${shown}`,
  );
});

test.each([
  ["a function's own", (text: string) => new Error(text)],
  ["an operator's", (text: string) => new OperatorError("parse", new Error(text))],
])("the middle of a message that holds a whole record is left out: %s", (_, errorOf) => {
  const described = describeError(errorOf(`head ${"y".repeat(1_000_000)} tail`));
  expect(described.length).toBeLessThan(4200);
  expect(described).toMatch(/head y+… \(996010 more characters\) …y+ tail$/);
});

test("a message of ours, such as the commands that make many streams, is whole", () => {
  const commands = Array.from({ length: 500 }, (_, i) => `nats stream add S${i} --subjects 's${i}.>'`).join(
    "\n",
  );
  expect(describeError(new EnvironmentError(commands))).toBe(commands);
});
