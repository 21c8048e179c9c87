/**
 * Windows as stories that a user can read: records and watermarks in, what leaves below each of them.
 *
 * Each story is told straight on, with a restart after each step and between any two slices of a watermark, and both
 * ways from disk.
 * Update a file only if you can say why.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ChainServices } from "../../../src/dataflow/chain.ts";
import {
  type Change,
  calendarWindows,
  continuousEventTimeTrigger,
  continuousProcessingTimeTrigger,
  countTrigger,
  countWindows,
  cumulateWindows,
  eventTimeTrigger,
  globalWindows,
  type KeyedStream,
  type LateRecord,
  processingTimeTrigger,
  purgingTrigger,
  type Stream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  valueState,
  type WindowAssigner,
  type WindowContext,
  type WindowTrigger,
} from "../../../src/index.ts";
import { onDisk } from "../../support/graphs/on-disk.ts";
import { type Item, WindowChain, windowOperator } from "./window-chain.ts";

const ON_DISK = { openBackend: onDisk(1) };
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

/** A user's own: a window fires when it holds a value of 100 or more, and once more a second later by the clock. */
const alarmTrigger = (): WindowTrigger<Item, readonly number[]> => ({
  name: "at an alarm",
  onRecord({ value }, { state, currentProcessingTime, registerTimer }) {
    if (value < 100) return "continue";
    state.set([...(state.get() ?? []), value]);
    registerTimer(currentProcessingTime + 1000, "processing");
    return "fire";
  },
  onTimer: ({ kind }, { state }) =>
    kind === "processing" && state.get() !== undefined ? "fireAndPurge" : "purge",
  onMerge(context, alarms) {
    if (alarms.length > 0) context.state.set(alarms.flat());
  },
});

const triggers: Readonly<Record<string, (...given: never[]) => WindowTrigger>> = {
  alarmTrigger: alarmTrigger as never,
  continuousEventTimeTrigger: continuousEventTimeTrigger as never,
  continuousProcessingTimeTrigger: continuousProcessingTimeTrigger as never,
  countTrigger: countTrigger as never,
  eventTimeTrigger: eventTimeTrigger as never,
  processingTimeTrigger: processingTimeTrigger as never,
};

/** `countTrigger [3]`, `purging countTrigger [3]`. */
function triggerOf(text: string): WindowTrigger {
  const [, purging, name, given] = /^(purging )?(\w+) (.*)$/.exec(text)!;
  const trigger = triggers[name!]!(...(JSON.parse(given!) as never[]));
  return purging === undefined ? trigger : purgingTrigger(trigger);
}

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
  const trigger = fieldOf("trigger");
  return {
    windows: assigners[name!]!(JSON.parse(options!) as never),
    options: {
      ...JSON.parse(fieldOf("options") ?? "{}", (_, value) => (value === "Infinity" ? Infinity : value)),
      ...(trigger !== undefined && { trigger: triggerOf(trigger) }),
    },
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
  // How often the window has fired, and the key.
  states: (items, { windows, options }) =>
    items
      .window(windows, {
        ...options,
        windowState: { fired: valueState(0) },
        keyState: { fired: valueState(0) },
      })
      .process("windows", (records, context) => {
        const { windowState, keyState } = context;
        windowState.fired.set(windowState.fired.get() + 1);
        keyState.fired.set(keyState.fired.get() + 1);
        const told = shown(records.length, context as never);
        return `${told}, firing ${windowState.fired.get()} of the window, ${keyState.fired.get()} of the key`;
      }),
};

/** A result, or a change of one. */
function resultIn(value: unknown): unknown {
  if (typeof value === "string") return value;
  const { change, value: result } = value as Change;
  return `${change} ${result}`;
}

/** A story as it happens now. `restarts`: also with a restart at every point. `services`: those of the chain. */
function tell(text: string, restarts: boolean, services: Partial<ChainServices> = {}): string {
  const lines = text.split("\n").filter((line) => !line.startsWith("  "));
  const head = headOf(lines);
  const chain = new WindowChain(
    windowOperator((items) => builds[head.what]!(items, head)),
    128,
    services,
  );
  const told: string[] = [];
  const begin = lines.indexOf("---");
  for (const [at, line] of lines.entries()) {
    told.push(line);
    if (at <= begin) continue;
    const record = /^(\w+) (-?\d+) at (-?\d+)$/.exec(line);
    const clock = /^clock (\d+)$/.exec(line);
    const mark = /^watermark (-?\d+|end)$/.exec(line);
    if (record !== null) chain.record(record[1]!, Number(record[2]), Number(record[3]));
    else if (mark !== null) chain.watermark(mark[1] === "end" ? Infinity : Number(mark[1]), restarts);
    else if (clock !== null) chain.clock(Number(clock[1]));
    else if (line === "end") chain.finish();
    else if (line === "rows?") told.push(`  ${chain.rows} rows`);
    else if (line !== "") throw new Error(`no such step: ${line}`);
    if (restarts && line !== "end") chain.restart();
    for (const [value, timestamp] of chain.main.splice(0)) told.push(`  ${resultIn(value)} @${timestamp}`);
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

  test("is told from disk, where hardly a row is in memory, with restarts and without", () => {
    const told = tell(text, false);
    for (const restarts of [false, true]) expect(tell(text, restarts, ON_DISK)).toBe(told);
  });
});
