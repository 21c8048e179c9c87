/** Names that JavaScript, NATS or a file system takes for something else are refused, and it is said why. */
import { describe, expect, test } from "vitest";
import { defineJob, valueState } from "../../src/index.ts";
import { testSink, testSource } from "./connectors.ts";

const letters = "may contain letters A to Z, digits, underscore and dash";
const script = "is a name that JavaScript keeps for itself";
const device = "is the name of a device on Windows";

const refused: readonly (readonly [unknown, string])[] = [
  ...["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"].map(
    (name) => [name, script] as const,
  ),
  ...["CON", "nul", "Aux", "prn", "com1", "LPT9"].map((name) => [name, device] as const),
  ...[
    "a.b",
    "a*",
    ">",
    "$KV",
    "a b",
    " a",
    "a ",
    "a/b",
    "..",
    "a\\b",
    "a:b",
    "a\u0000",
    "a\n",
    "ä",
    "😀",
    "-a",
    "\ud800",
  ].map((name) => [name, letters] as const),
  ["", "must not be empty"],
  ["x".repeat(49), "must have at most 48 characters, has 49"],
  [undefined, "must be text"],
  [7, "must be text"],
];
const taken = ["x".repeat(48), "console", "com", "com10", "_", "a-b_C9", "0"];

const ways: Readonly<Record<string, (name: string) => unknown>> = {
  "of a job": (name) => defineJob(name, {}, (job) => job.source("in", testSource()).sink("out", testSink())),
  "of an operator": (name) =>
    defineJob("job", {}, (job) =>
      job
        .source("in", testSource())
        .map(name, (it) => it)
        .sink("out", testSink()),
    ),
  "of a source": (name) =>
    defineJob("job", {}, (job) => job.source(name, testSource()).sink("out", testSink())),
  "of a sink": (name) => defineJob("job", {}, (job) => job.source("in", testSource()).sink(name, testSink())),
  "of a state": (name) =>
    defineJob("job", {}, (job) =>
      job
        .source("in", testSource())
        .keyBy(() => "k")
        .process("keep", {
          state: { ...(name === "__proto__" ? JSON.parse('{"__proto__":1}') : {}), [name]: valueState(0) },
          onRecord() {},
        })
        .sink("out", testSink()),
    ),
};

describe.each(Object.entries(ways))("the name %s", (way, define) => {
  const texts = refused.filter(([name]) => way !== "of a state" || typeof name === "string");
  test.each(texts)("%j is refused", (name, words) => {
    expect(() => define(name as string)).toThrow(words);
  });

  test.each(taken)("%s is taken", (name) => {
    expect(() => define(name)).not.toThrow();
  });
});

test("two names that differ only in upper and lower case are refused together", () => {
  const define = () =>
    defineJob("job", {}, (job) =>
      job
        .source("in", testSource())
        .map("IN", (it) => it)
        .sink("out", testSink()),
    );
  expect(define).toThrow('operator "IN": differs from operator "in" only in upper and lower case');
});

test("the subjects of the engine's own are no job's", () => {
  expect(() => ways["of a job"]!("workers")).toThrow("is reserved for the engine's own subjects");
});
