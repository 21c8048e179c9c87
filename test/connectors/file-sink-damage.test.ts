/**
 * Damage to what the file sink keeps in its hidden folder while its job is down: the marker of a writer and the file of
 * a decided transaction, each damaged in each way. The next generation says which file it is and writes nothing; with
 * the file back it commits exactly what was prepared (P54, P61).
 */
import { execFileSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fileSink } from "../../src/connectors/file-sink.ts";
import { CommitRefusedError, ObjectMissingError } from "../../src/errors.ts";
import { prepareTransaction, sinkEnvironment } from "../../src/testing/sink-environment.ts";
import { flipLastBit } from "../support/objects.ts";

let directory: string;
let other: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tidemark-damage-"));
  other = join(directory, "other");
});
afterEach(() => rm(directory, { recursive: true }));

const sink = () => fileSink<string>({ directory: join(directory, "out"), encode: "text" });
const hidden = (file: string) => join(directory, "out/.tidemark", file);
const visible = async () => (await readdir(join(directory, "out"))).filter((file) => !file.startsWith("."));

/** What is done to the file at a path. `swap` is the path of another one of its kind. */
type Harm = (path: string, swap: string) => Promise<unknown>;
const replaced =
  (make: (path: string) => unknown): Harm =>
  async (path) => {
    await rm(path);
    await make(path);
  };
const HARMS: Readonly<Record<string, Harm>> = {
  "cut to nothing": (path) => writeFile(path, ""),
  cut: async (path) => writeFile(path, (await readFile(path)).subarray(0, -1)),
  "with a flipped bit": async (path) => writeFile(path, flipLastBit(await readFile(path))),
  "with a changed number": async (path) =>
    writeFile(
      path,
      (await readFile(path, "utf8")).replace(/\d(?=\D*$)/, (digit) => `${9 - Number(digit)}`),
    ),
  "swapped with another": (path, swap) => copyFile(swap, path),
  absent: (path) => rm(path),
  "a directory": replaced((path) => mkdir(join(path, "below"), { recursive: true })),
  "a FIFO": replaced((path) => execFileSync("mkfifo", [path])),
  "a link to a FIFO": replaced(async (path) => {
    execFileSync("mkfifo", [other]);
    await symlink(other, path);
  }),
  "of a newer format": (path) => writeFile(path, '{"version":2,"marker":"later"}'),
};

const NO_FILE = /(a directory|a FIFO) is in its place; put the file back, then start the job again$/;
const WORDS: Readonly<Record<"marker" | "transaction", Readonly<Record<string, RegExp>>>> = {
  marker: {
    "cut to nothing":
      /is not a marker of this engine: it is empty|is not a marker of this engine: it is no JSON/,
    cut: /is not a marker of this engine: it is no JSON/,
    "with a flipped bit": /is not a marker of this engine: it is no JSON/,
    "with a changed number": /was changed, or copied from another one: its check sum does not fit/,
    "swapped with another": /was changed, or copied from another one: its check sum does not fit/,
    absent: /^marker of writer 0 of sink out in .* is missing/,
    "a directory": NO_FILE,
    "a FIFO": NO_FILE,
    "a link to a FIFO": NO_FILE,
    "of a newer format": /is not a marker of this engine: job: /,
  },
  transaction: {
    "cut to nothing": /has 0 bytes, and was prepared with 5\. Put the whole file back/,
    cut: /has 4 bytes, and was prepared with 5\. Put the whole file back/,
    "with a flipped bit":
      /was changed: its check sum is not that of what was prepared\. Put the whole file back/,
    "with a changed number":
      /was changed: its check sum is not that of what was prepared\. Put the whole file back/,
    "swapped with another":
      /was changed: its check sum is not that of what was prepared\. Put the whole file back/,
    absent:
      /neither .* nor .* exists, or it has another size\. .*Put the file back, then start the job again/,
    "a directory": NO_FILE,
    "a FIFO": NO_FILE,
    "a link to a FIFO": NO_FILE,
    "of a newer format": /has \d+ bytes, and was prepared with 5\. Put the whole file back/,
  },
};
const TABLE = (["marker", "transaction"] as const).flatMap((kind) =>
  Object.keys(HARMS).map((harm) => [kind, harm] as const),
);

test.each(TABLE)("the %s is %s", async (kind, harm) => {
  // Two writers of one job, each with a committed transaction and a decided one.
  const writers = await Promise.all(
    [0, 1].map((subtaskIndex) => sink().open(sinkEnvironment({ subtaskIndex }))),
  );
  const prepared = await Promise.all(
    writers.map(async (writer, i) => {
      await writer.commit(await prepareTransaction(writer, 1, [`a${i}`]));
      return await prepareTransaction(writer, 2, [`b${i}-2`]);
    }),
  );
  const memory = writers[0]!.snapshot();
  const end = kind === "marker" ? ".marker" : ".open";
  const [own, another] = (await readdir(hidden("")))
    .filter((file) => file.endsWith(end))
    .sort()
    .map(hidden);
  const before = await visible();
  await copyFile(own!, join(directory, "copy"));

  await HARMS[harm]!(own!, another!);
  const begin = async (generation: number) => {
    const environment = sinkEnvironment({ generation, restoredCheckpointId: 2, restoredState: memory });
    const writer = await sink().open(environment);
    await writer.commit(prepared[0]!);
  };
  const refused = await begin(2).then(
    () => "it was committed",
    (error: unknown) => error,
  );
  expect([CommitRefusedError, ObjectMissingError]).toContain((refused as Error).constructor);
  expect((refused as Error).message).toMatch(WORDS[kind][harm]!);
  if (harm !== "absent" || kind === "transaction") expect((refused as Error).message).toContain(own);
  expect(await visible()).toEqual(before);

  await rm(own!, { recursive: true, force: true });
  await copyFile(join(directory, "copy"), own!);
  await begin(3);
  const added = (await visible()).filter((file) => !before.includes(file));
  expect(added).toEqual(["part-out-life1-000-0000000002"]);
  expect(await readFile(join(directory, "out", added[0]!), "utf8")).toBe("b0-2\n");
});
