/** Each rule of the tree finds what it is there for, and lets pass what it is not. */
import { expect, test } from "vitest";
import { ownTime, privatePlaces, reminders, shortTimers } from "./forbidden-text.ts";
import { forbiddenImports, roomCycles } from "./imports.ts";
import { loosePackages } from "./packages.ts";
import {
  emptyNames,
  FILE_LINES_MAX,
  FOLDER_FILES_MAX,
  longFiles,
  WORDS_COLUMNS_MAX,
  wideComments,
  wideFolders,
  wideText,
} from "./shape.ts";
import type { Tree } from "./tree.ts";

const spoiled = (file: string, text: string): Tree => new Map([[file, text]]);

test.each([
  ["src/runtime/a.ts", 'import { NatsBus } from "../nats/bus.ts";', "src/nats/bus.ts"],
  ["src/runtime/a.ts", 'export { x } from "../memory/bus.ts";', "src/memory/bus.ts"],
  ["src/dataflow/a.ts", 'import {\n  b,\n} from "../job/graph.ts";', "src/job/graph.ts"],
  ["src/dataflow/a.ts", 'import { b } from "../../machines/protocol.ts";', "machines/protocol.ts"],
  ["src/dataflow/a.ts", 'import { type A, b } from "../../machines/protocol.ts";', "machines/protocol.ts"],
  ["src/connectors/file-sink.ts", 'import type { A } from "../nats/bus.ts";', "src/nats/bus.ts"],
  ["src/control/a.ts", 'import "@nats-io/jetstream";', "@nats-io/jetstream"],
  ["src/state/a.ts", 'const a = await import("lmdb");', "lmdb"],
  ["machines/a.ts", 'import { readFileSync } from "node:fs";', "node:fs"],
])("import table: %s: %j", (file, text, target) => {
  expect(forbiddenImports(spoiled(file, text))).toEqual([expect.stringContaining(`imports ${target}`)]);
});

test.each([
  ["src/dataflow/a.ts", 'import type { A } from "../../machines/protocol.ts";'],
  ["src/dataflow/a.ts", 'import { type A, type B } from "../../machines/protocol.ts";'],
  ["src/dataflow/a.ts", '/**\n * import { a } from "../nats/bus.ts";\n */\n// import "xstate";'],
  ["src/connectors/kv/sink.ts", 'import { NatsLink } from "../../nats/link.ts";'],
])("import table: not for %s: %j", (file, text) => {
  expect(forbiddenImports(spoiled(file, text))).toEqual([]);
});

test("import table: a room that it does not know", () => {
  expect(forbiddenImports(spoiled("src/new-room/a.ts", ""))).toHaveLength(1);
});

test("cycles", () => {
  const cyclic = new Map([
    ["src/a/1.ts", 'import { x } from "../b/1.ts";'],
    ["src/b/1.ts", 'import { x } from "../c/1.ts";'],
    ["src/c/1.ts", 'import { x } from "../c/2.ts";'],
    ["src/c/2.ts", 'import type { x } from "../b/2.ts";'],
    ["src/b/2.ts", ""],
  ]);
  expect(roomCycles(cyclic)).toEqual([
    "src/b -> src/c -> src/b (src/b/1.ts:1, src/c/2.ts:1): move what both need into one of them",
  ]);
});

test("long files", () => {
  expect(longFiles(spoiled("src/a.ts", "\n".repeat(FILE_LINES_MAX + 1)))).toHaveLength(1);
});

test.each([
  [" * {} is wide.", 1],
  ["  // {} is wide.", 1],
  ["/** {} is wide. */", 1],
  [" * `{}`", 0],
  ['  const text = "{} is wide";', 0],
])("wide comments: %s", (text, count) => {
  const line = text.replace("{}", "x".repeat(WORDS_COLUMNS_MAX));
  expect(wideComments(spoiled("src/a.ts", line))).toHaveLength(count);
});

test("wide text", () => {
  const wide = `${"x".repeat(WORDS_COLUMNS_MAX)} is wide`;
  const text = `${wide}\n| ${wide} |\n\`\`\`sh\n${wide}\n\`\`\`\n- ${wide}\n${"x".repeat(200)}`;
  expect(wideText(spoiled("README.md", text))).toEqual([
    expect.stringContaining("README.md:1:"),
    expect.stringContaining("README.md:6:"),
  ]);
  expect(wideText(spoiled("CHANGELOG.md", text))).toEqual([]);
});

test("wide folders", () => {
  const files = Array.from({ length: FOLDER_FILES_MAX + 1 }, (_, i) => [`src/state/${i}.ts`, ""] as const);
  expect(wideFolders(new Map(files))).toEqual([expect.stringContaining("src/state: 13 files")]);
  expect(wideFolders(new Map(files.slice(1)))).toEqual([]);
});

test.each(["src/utils.ts", "test/common/a.ts", "src/state/lock-manager.ts"])("names: %s", (file) => {
  expect(emptyNames(spoiled(file, ""))).toHaveLength(1);
});

test.each([
  "setTimeout(run, options.timeoutMs);",
  "setInterval(run, everyMs);",
  "AbortSignal.timeout(timeoutMs);",
  'import { setTimeout as sleep } from "node:timers/promises";',
])("timers: %s", (text) => {
  expect(shortTimers(spoiled("src/runtime/a.ts", text))).toHaveLength(1);
});

test.each([
  ["src/runtime/a.ts", "const startedMs = performance.now();"],
  ["src/runtime/worker/a.ts", "setImmediate(turn);"],
  ["src/runtime/worker/a.ts", "await new Promise(setImmediate);"],
  ["src/control/a.ts", "queueMicrotask(run);"],
  ["src/control/a.ts", "process.nextTick(run);"],
  ["src/control/a.ts", "const at = new Date().toISOString();"],
  ["src/dataflow/a.ts", "record.atMs = Date.now();"],
  ["src/dataflow/a.ts", "const share = Math.random();"],
  ["src/runtime/a.ts", 'import { randomUUID } from "node:crypto";'],
  ["src/runtime/a.ts", 'import { pause } from "../timer.ts";'],
  ["src/runtime/a.ts", 'import { systemClock } from "../clock.ts";'],
])("time, turns and chance: %s: %s", (file, text) => {
  expect(ownTime(spoiled(file, text))).toHaveLength(1);
});

test.each([
  ["src/dataflow/a.ts", "return value instanceof Date;"],
  ["src/runtime/a.ts", "const startedMs = clock.elapsedMs();"],
  ["src/cli/a.ts", "const startedMs = performance.now();"],
])("time, turns and chance: not for %s: %s", (file, text) => {
  expect(ownTime(spoiled(file, text))).toEqual([]);
});

test("reminders", () => {
  expect(reminders(spoiled("src/a.ts", `\n// ${"TO"}${"DO"}: later`))).toEqual([
    expect.stringContaining("src/a.ts:2"),
  ]);
});

test.each([
  ["/", "work/x/a.ts"].join(""),
  ["/home/", "somebody/a"].join(""),
  ["https://regis", "try.example.org/"].join(""),
  ["//host/:_auth", "Token=x"].join(""),
])("private places: %s", (text) => {
  expect(privatePlaces(spoiled("README.md", text))).toHaveLength(1);
});

test("packages", () => {
  const manifest = { scripts: { postinstall: "x" }, dependencies: { a: "^1.0.0", b: "1.0.0" } };
  const lock = { packages: { "node_modules/a": { resolved: "https://host/a.tgz" } } };
  const loose = new Map([
    ["package.json", JSON.stringify(manifest)],
    ["package-lock.json", JSON.stringify(lock)],
  ]);
  expect(loosePackages(loose)).toHaveLength(3);
});
