/** The README's table of options says what the code does. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { flinkSpellings } from "../../src/config/flink-keys.ts";
import { jobOptions, type OptionKey, optionKeys } from "../../src/config/options.ts";

test("every option of checkpointing is there, with its default, its limits and Flink's keys", () => {
  const rows = readFileSync("README.md", "utf8")
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => cells.length === 7 && /^`\w+`$/.test(cells[1]!))
    .map(([, name, , standard, limits, keys]) => [name, standard, limits, keys]);
  const section = "checkpointing.";
  expect(rows).toEqual(
    optionKeys
      .filter((key) => key.startsWith(section))
      .map((key: OptionKey) => [
        `\`${key.slice(section.length)}\``,
        jobOptions[key].defaultText,
        jobOptions[key].limits,
        (flinkSpellings[key] ?? []).map((spelling) => `\`${spelling}\``).join(", "),
      ]),
  );
});
