/** The source of files: what is a line, what a position is worth, and what is refused. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileReading } from "../../../src/connectors/files/line-file.ts";
import { fileSource } from "../../../src/connectors/files/source.ts";
import type { Source, SourceReader, SplitPosition } from "../../../src/dataflow/source.ts";
import { ConfigurationError, EnvironmentError, SourcePositionError } from "../../../src/errors.ts";
import { sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import { until } from "../../support/until.ts";

let directory: string;
const readers: SourceReader<unknown>[] = [];
const usual = { ...fileReading };

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-files-"));
});
afterEach(async () => {
  for (const reader of readers.splice(0)) await reader.close();
  Object.assign(fileReading, usual);
  rmSync(directory, { recursive: true, force: true });
});

const file = (name: string, content: string | Buffer) => {
  writeFileSync(join(directory, name), content);
  return join(directory, name);
};

async function opened<T>(source: Source<T>, from?: readonly SplitPosition[]): Promise<SourceReader<T>> {
  const splits =
    from ?? (await source.discover(sinkEnvironment())).map((split) => ({ split, position: undefined }));
  const reader = await source.open(
    sinkEnvironment({ operator: "in", fail: (error) => failures.push(error) }),
    splits,
  );
  readers.push(reader);
  return reader;
}
const failures: unknown[] = [];

async function polled<T>(reader: SourceReader<T>, count = Number.POSITIVE_INFINITY): Promise<T[]> {
  const records: T[] = [];
  let failure: { readonly error: unknown } | undefined;
  const poll = (): boolean => {
    try {
      return reader.poll((record) => void records.push(record), 3) === "ended" || records.length >= count;
    } catch (error) {
      failure = { error };
      return true;
    }
  };
  await until("its records have come", poll, { everyMs: 1, describe: () => `${records.length} have come` });
  if (failure !== undefined) throw failure.error;
  return records;
}

const stored = (reader: SourceReader<unknown>) =>
  JSON.parse(JSON.stringify(reader.snapshot())) as SplitPosition[];

describe.each([1, 2, 3, 7, 256 * 1024])("read by pieces of %d bytes", (pieceBytes) => {
  beforeEach(() => {
    fileReading.pieceBytes = pieceBytes;
  });

  test("lines end with a line break, whatever is in them, and the last one with the file", async () => {
    const path = file("a.txt", "\ufeffone\r\n\ntab\tand é😀 and \ufeff\nlast");
    expect(await polled(await opened(fileSource({ paths: path, decode: "text" })))).toEqual([
      "one",
      "",
      "tab\tand é😀 and \ufeff",
      "last",
    ]);
  });

  test("it goes on behind any line", async () => {
    const lines = ["first", "", "zweite é", "{}", "end"];
    const source = fileSource({ paths: file("a.txt", lines.join("\n")), decode: "text" });
    for (let taken = 0; taken <= lines.length; taken += 1) {
      const reader = await opened(source);
      const before: string[] = [];
      await until(
        "some have come",
        () => {
          if (before.length < taken) reader.poll((record) => void before.push(record), 1);
          return before.length === taken;
        },
        { everyMs: 1 },
      );
      const heir = await opened(source, stored(reader));
      expect([...before, ...(await polled(heir))]).toEqual(lines);
    }
  });
});

test("a directory is read file by file, by name, without what is hidden or below", async () => {
  for (const [name, content] of [
    ["b.json", "2\n"],
    ["a.json", "1\n"],
    [".hidden", "no\n"],
    ["empty", ""],
  ])
    file(name!, content!);
  mkdirSync(join(directory, "below"));
  const reader = await opened(fileSource<number>({ paths: directory }));
  expect(await polled(reader)).toEqual([1, 2]);
  expect(stored(reader).map(({ split, position }) => [split.id.split("/").at(-1), position])).toMatchObject([
    ["a.json", { offset: 2, lines: 1 }],
    ["b.json", { offset: 2, lines: 1 }],
    ["empty", undefined],
  ]);
});

test("what comes behind the end that it had at submission is not read", async () => {
  const path = file("a.txt", "1\n2\n");
  const source = fileSource({ paths: path, decode: "text" });
  const splits = (await source.discover(sinkEnvironment())).map((split) => ({ split, position: undefined }));
  appendFileSync(path, "3\n");
  expect(await polled(await opened(source, splits))).toEqual(["1", "2"]);
});

test("a file that grows: a line is read when it is whole", async () => {
  fileReading.lookAgainMs = 5;
  const path = file("log", "one\ntw");
  const reader = await opened(fileSource({ paths: path, decode: "text", tail: true }));
  expect(await polled(reader, 1)).toEqual(["one"]);
  let wakes = 0;
  reader.onAvailable(() => void wakes++);
  appendFileSync(path, "o\nthree\n");
  await until("it wakes", () => wakes > 0);
  expect(await polled(reader, 2)).toEqual(["two", "three"]);
  expect(reader.describePosition()).toBe(`line 3 of ${path}`);
});

describe("a position is not believed of", () => {
  const restored = async (change: (path: string) => void, tail = false) => {
    const path = file("a.txt", "1\n2\n3\n");
    const source = fileSource({ paths: path, decode: "text", tail });
    const reader = await opened(source);
    expect(await polled(reader, 3)).toHaveLength(3);
    change(path);
    return opened(source, stored(reader));
  };

  test.each<[string, (path: string) => void, RegExp]>([
    [
      "a file that was cut off",
      (path) => truncateSync(path, 3),
      /a\.txt is not the file that was read up to byte 6 \(line 3\): it has 3 bytes/,
    ],
    [
      "another file of its name",
      (path) => writeFileSync(path, "4\n5\n6\n"),
      /begins with something else.*or start the job fresh/,
    ],
    ["a file that is gone", (path) => rmSync(path), /a\.txt cannot be read: ENOENT/],
  ])("%s", async (_, change, message) => {
    const failed = restored(change);
    await expect(failed).rejects.toThrow(message);
    await expect(failed).rejects.not.toBeInstanceOf(TypeError);
  });

  test("a file that is cut off while it is read", async () => {
    fileReading.lookAgainMs = 5;
    failures.length = 0;
    const reader = await restored(() => {}, true);
    truncateSync(join(directory, "a.txt"), 1);
    await until("it is told", () => {
      reader.poll(() => {}, 1);
      return failures.length > 0;
    });
    expect(failures[0]).toBeInstanceOf(SourcePositionError);
    expect(String(failures[0])).toMatch(/was cut off: it has 1 bytes, and 6 were there/);
  });
});

test("a line that cannot be decoded is named by file and number", async () => {
  const path = file("a.json", '{"a":1}\nno json\n');
  const reader = await opened(fileSource({ paths: path }));
  await expect(polled(reader)).rejects.toThrow(SyntaxError);
  expect(reader.describePosition()).toBe(`line 2 of ${path}`);
  const bytes = await opened(
    fileSource({ paths: file("b.txt", Buffer.from([65, 10, 255, 10])), decode: "text" }),
  );
  await expect(polled(bytes)).rejects.toThrow(/no UTF-8/);
  expect(bytes.describePosition()).toMatch(/^line 2 of/);
});

test.each<[object, RegExp]>([
  [{}, /must be a path of a file or directory, or several, got undefined/],
  [{ paths: [] }, /must be a path/],
  [{ paths: "a", tail: "yes" }, /must be true or false/],
  [{ paths: "a", decode: "csv" }, /"json", "text" or a function/],
  [{ path: "a" }, /no option "path"; did you mean "paths"/],
])("options %j are refused", (options, message) => {
  expect(() => fileSource(options as { paths: string })).toThrow(ConfigurationError);
  expect(() => fileSource(options as { paths: string })).toThrow(message);
});

test("files that are not there, or named twice, are refused at submission", async () => {
  const discover = (paths: string | string[]) => fileSource({ paths }).discover(sinkEnvironment());
  await expect(discover(join(directory, "none"))).rejects.toThrow(EnvironmentError);
  await expect(discover(directory)).rejects.toThrow(/there is no file in .*nothing to read/);
  const path = file("a", "");
  await expect(discover([path, directory])).rejects.toThrow(/named twice/);
});
