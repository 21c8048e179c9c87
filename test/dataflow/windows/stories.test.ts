/**
 * Windows as stories that a user can read: records and watermarks in, what leaves below each of them.
 *
 * Each story is told twice: straight on, and with a restart after each step and between any two slices of a watermark.
 * Update a file only if you can say why.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  calendarWindows,
  countWindows,
  cumulateWindows,
  globalWindows,
  type KeyedStream,
  type LateRecord,
  type Stream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
  type WindowContext,
} from "../../../src/index.ts";
import { type Item, WindowChain, windowOperator } from "./window-chain.ts";

const FOLDER = new URL("./stories/", import.meta.url);

const assigners: Readonly<Record<string, (options: never) => WindowAssigner>> = {
  tumblingWindows,
  slidingWindows,
  cumulateWindows,
  sessionWindows,
  calendarWindows,
  countWindows,
  globalWindows,
};

/** The head of a story: `windows: slidingWindows {"size":10,"slide":5}`, `options: {}`, `what: sum`. */
interface Head {
  readonly windows: WindowAssigner;
  readonly options: object;
  readonly what: string;
}

function headOf(lines: readonly string[]): Head {
  const fieldOf = (name: string) =>
    lines
      .find((line) => line.startsWith(`${name}:`))
      ?.slice(name.length + 1)
      .trim();
  const [, name, options] = /^(\w+) (.*)$/.exec(fieldOf("windows")!)!;
  return {
    windows: assigners[name!]!(JSON.parse(options!) as never),
    options: JSON.parse(fieldOf("options") ?? "{}", (_, value) => (value === "Infinity" ? Infinity : value)),
    what: fieldOf("what") ?? "sum",
  };
}

const shown = (contents: unknown, { key, window, firing, index }: WindowContext) =>
  `${key} [${window.start}, ${window.end}) = ${JSON.stringify(contents)}${firing === "onTime" ? "" : ` ${firing} ${index}`}`;

const builds: Readonly<Record<string, (items: KeyedStream<Item, string>, head: Head) => Stream<unknown>>> = {
  sum: (items, { windows, options }) =>
    items.window(windows, options).aggregate(
      "windows",
      {
        createAccumulator: () => 0,
        add: (sum, { value }: Item) => sum + value,
        getResult: (sum) => sum,
        merge: (a, b) => a + b,
      },
      shown as never,
    ),
  records: (items, { windows, options }) =>
    items.window(windows, options).process("windows", (records, context) =>
      shown(
        records.map(({ value }) => value),
        context as never,
      ),
    ),
};

/** A story as it happens now. `restarts`: also with a restart at every point. */
function tell(text: string, restarts: boolean): string {
  const lines = text.split("\n").filter((line) => !line.startsWith("  "));
  const head = headOf(lines);
  const chain = new WindowChain(windowOperator((items) => builds[head.what]!(items, head)));
  const told: string[] = [];
  const begin = lines.indexOf("---");
  for (const [at, line] of lines.entries()) {
    told.push(line);
    if (at <= begin) continue;
    const record = /^(\w+) (-?\d+) at (-?\d+)$/.exec(line);
    const mark = /^watermark (-?\d+|end)$/.exec(line);
    if (record !== null) chain.record(record[1]!, Number(record[2]), Number(record[3]));
    else if (mark !== null) chain.watermark(mark[1] === "end" ? Infinity : Number(mark[1]), restarts);
    else if (line === "end") chain.finish();
    else if (line === "rows?") told.push(`  ${chain.rows} rows`);
    else if (line !== "") throw new Error(`no such step: ${line}`);
    if (restarts && line !== "end") chain.restart();
    for (const [value, timestamp] of chain.main.splice(0)) told.push(`  ${value} @${timestamp}`);
    for (const [value, timestamp] of chain.late.splice(0)) {
      const { cause, value: item, watermark } = value as LateRecord<Item>;
      told.push(`  late output: ${item.key} ${item.value} @${timestamp}, ${cause}, watermark ${watermark}`);
    }
  }
  return told.join("\n");
}

const files = readdirSync(FOLDER, { recursive: true, encoding: "utf8" }).filter((file) =>
  file.endsWith(".txt"),
);

describe.each(files)("%s", (file) => {
  const text = readFileSync(new URL(file, FOLDER), "utf8");

  test("is told", async () => {
    await expect(tell(text, false)).toMatchFileSnapshot(`./stories/${file}`);
  });

  test("is told with restarts at every point", () => {
    expect(tell(text, true)).toBe(tell(text, false));
  });
});
