/** `tidemark state load`: writes a savepoint of lines, from which a job starts. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { GraphPlan, Manifest, SubtaskSnapshot } from "../../../../machines/protocol.ts";
import {
  completeSavepoint,
  disposeSavepoint,
  savepointLocation,
  savepointObject,
} from "../../../checkpoint/savepoint.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import { ConfigurationError, describeError, RequestRefusedError, TidemarkError } from "../../../errors.ts";
import { graphFingerprint } from "../../../job/fingerprint.ts";
import { planRestore } from "../../../job/restore/restore-plan.ts";
import { newLife } from "../../../runtime/life.ts";
import { FIRST_VERSION } from "../../../state/versions/state-version.ts";
import { newId } from "../../assembly.ts";
import { type LoadedHeader, parseHeader } from "../header.ts";
import { LoadedLines } from "./lines.ts";
import { LoadedRows } from "./rows.ts";

/** So many characters of lines are rows in memory at a time; as rows they take some times as much. */
const CHARS_MAX = 32 * 1024 * 1024;
const CHECKPOINT_ID = 1;

export interface LoadOptions {
  readonly job: string;
  readonly plan: GraphPlan;
  /** "-": standard input. */
  readonly file: string;
  /** The place of the savepoint. */
  readonly root: string;
  readonly storage: CheckpointStorage;
}

export interface Loaded {
  readonly location: string;
  readonly lines: number;
  /** What sinks remember of their targets: no other job can use it. */
  readonly passedOver: number;
  readonly bytes: number;
  readonly notes: readonly string[];
}

/**
 * @throws ConfigurationError for a file that cannot be read, and for the line that means nothing; RequestRefusedError
 *   for state that does not fit the job. Nothing is left of the savepoint then
 */
export async function loadState(options: LoadOptions): Promise<Loaded> {
  const { job, root, storage } = options;
  const incarnation = newId();
  const location = savepointLocation(root, { job, incarnation, checkpointId: CHECKPOINT_ID });
  try {
    return await write(options, location, incarnation);
  } catch (error) {
    await disposeSavepoint(location, storage).catch(() => {});
    throw error;
  }
}

async function write(options: LoadOptions, location: string, incarnation: string): Promise<Loaded> {
  const { job, storage } = options;
  const { signal } = newLife();
  const { header, lines, rows } = await readLines(options, location, signal);
  const { plan, finished } = header;
  const subtasks = plan.vertices.flatMap(({ id, parallelism }) =>
    Array.from({ length: parallelism }, (_, index): SubtaskSnapshot => {
      const subtask = `${id}/${index}`;
      return {
        subtask,
        states: [...rows.statesOf(subtask), ...lines.unkeyedOf(subtask)],
        ...{ transactions: [], channels: [], finished: finished.includes(subtask) },
        ...{ alignmentMs: 0, syncMs: 0, asyncMs: 0, bytes: 0, persistedInFlightBytes: 0 },
      };
    }),
  );
  const manifest: Manifest = {
    ...{ format: 1, job, incarnation, generation: 1, nonce: newId(), checkpointId: CHECKPOINT_ID },
    ...{ graphFingerprint: graphFingerprint(plan), maxParallelism: plan.maxParallelism, subtasks },
  };
  const { problems, notes } = planRestore({ plan, splits: header.splits, manifest }, options.plan, []);
  if (problems.length > 0)
    throw new RequestRefusedError(
      `the state in ${options.file} does not fit job ${job}:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
    );
  const drained = subtasks.length > 0 && subtasks.every((one) => one.finished);
  const bytes = await completeSavepoint(
    {
      ...{ format: 1, location, createdAtMs: Date.now(), drained, unfinished: [] },
      ...{ plan, splits: header.splits, manifest },
    },
    storage,
    signal,
  );
  return { location, lines: lines.taken, passedOver: lines.passedOver, bytes, notes };
}

interface Read {
  readonly header: LoadedHeader;
  readonly lines: LoadedLines;
  readonly rows: LoadedRows;
}

async function readLines(options: LoadOptions, location: string, signal: AbortSignal): Promise<Read> {
  const { file, storage } = options;
  let read: Read | undefined;
  let number = 0;
  let chars = 0;
  const opened = (header: LoadedHeader): Read => {
    const { plan, versions } = header;
    const versionOf = (operator: string, state: string) => versions[operator]?.[state] ?? FIRST_VERSION;
    const rows = new LoadedRows({
      plan,
      storage,
      objectName: (part) => savepointObject(location, part),
      versionOf,
    });
    return { header, rows, lines: new LoadedLines({ plan, rows, versionOf, nowMs: Date.now() }) };
  };
  for await (const text of linesOf(file)) {
    number++;
    if (text.trim() === "") continue;
    try {
      const line: unknown = JSON.parse(text);
      const header = parseHeader(line);
      if (header !== undefined && read !== undefined)
        throw new Error("a header stands in front of all lines");
      read ??= opened(header ?? headerFor(options.plan));
      if (header === undefined) read.lines.take(line);
    } catch (error) {
      throw new ConfigurationError("from", `${file}, line ${number}: ${wordsOf(error)}`, { cause: error });
    }
    chars += text.length;
    if (chars < CHARS_MAX) continue;
    chars = 0;
    await read.rows.flush(signal);
  }
  if (read === undefined) throw new ConfigurationError("from", `${file} holds no line`);
  await read.rows.flush(signal);
  return read;
}

/** A line shows no data in its error. */
function wordsOf(error: unknown): string {
  if (error instanceof SyntaxError) return "it is no JSON";
  return error instanceof TidemarkError ? error.message : (error as Error).message;
}

/** Lines that say nothing of the job that they are of are of this one, in its present versions. */
function headerFor(plan: GraphPlan): LoadedHeader {
  const versions: Record<string, Record<string, string>> = {};
  for (const { id, stateVersions = {} } of plan.vertices.flatMap(({ operators }) => operators))
    versions[id] = Object.fromEntries(
      Object.entries(stateVersions).map(([state, { version }]) => [state, version]),
    );
  return { plan, splits: {}, finished: [], versions };
}

async function* linesOf(file: string): AsyncGenerator<string, void, undefined> {
  const input = file === "-" ? process.stdin : createReadStream(file);
  const failed = new Promise<never>((_, reject) => input.once("error", reject));
  failed.catch(() => {});
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([lines.next(), failed]);
      if (next.done === true) break;
      yield next.value;
    }
    // A file that is not there ends without a line.
    if (file !== "-" && input.errored) throw input.errored;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && "syscall" in error)) throw error;
    throw new ConfigurationError("from", `${file} cannot be read: ${describeError(error)}`, { cause: error });
  }
}
