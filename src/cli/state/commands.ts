/** `tidemark state ls|get|dump`: what the states of a job hold, in a checkpoint, a savepoint, or now. */
import type { Command } from "commander";
import { stateObjects } from "../../checkpoint/storage.ts";
import { ConfigurationError, RequestRefusedError } from "../../errors.ts";
import type { Key } from "../../state/descriptor.ts";
import { keyGroupOf } from "../../state/key-groups.ts";
import { FIRST_VERSION } from "../../state/versions/state-version.ts";
import { addClientOptions, type ClientFlags, checkJobName, print, withView } from "../commands/client.ts";
import { wholeNumber } from "../options.ts";
import { writeMessage } from "../output/advice.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { commandOutput } from "../output/stdout.ts";
import { count, size, table } from "../output/text.ts";
import { type CatalogEntry, catalogOf, chosen, isKeyed, type KeyedEntry } from "./catalog.ts";
import { headerOf } from "./header.ts";
import { keyOf, lookalikes, neededKey, refuseKey } from "./key-argument.ts";
import { countKeyed, keyedLines, linesOfKey, type StateLine, tablesOf, unkeyedLines } from "./lines.ts";
import { dumpLive, getLive, listLive } from "./live.ts";
import { loadCommand } from "./load/command.ts";
import {
  describeFrom,
  type ReadFrom,
  type SourceFlags,
  type StateSource,
  withSource,
} from "./state-source.ts";
import { portionsOf } from "./stored-tables.ts";
import { toJson } from "./value-json.ts";

type StateFlags = ClientFlags & SourceFlags;
type LiveFlags = StateFlags & { readonly live?: boolean };

const LIVE = "--live";
const LIVE_IS = "of the running job, as its workers have it now; needs a coordinator";

const outcomes = (ok: string) =>
  exitCodeHelp(["ok", "usage", "environment", "refused", "damaged", "bug"], ok);

export function stateCommands(program: Command): void {
  const state = program
    .command("state")
    .description("look into the state of a job: of a retained checkpoint, or of a savepoint");
  addSourceOptions(state.command("ls"))
    .description("list the states of a job: operator, name, kind, how much each holds")
    .option(LIVE, LIVE_IS)
    .argument("<job>", "name of the job")
    .addHelpText("after", outcomes("listed"))
    .action(list);
  addSourceOptions(state.command("get"))
    .description("show what one key has in a state, as JSON lines; without a key, state that belongs to none")
    .argument("<job>", "name of the job")
    .argument("<operator>", "id of the operator")
    .argument("<state>", "name of the state")
    .option(LIVE, LIVE_IS)
    .argument("[key]", `a text, or JSON: 42, true, '"42"' for the text, '{"$bigint":"42"}'`)
    .addHelpText("after", outcomes("shown"))
    .action(get);
  addSourceOptions(state.command("dump"))
    .description("write states to standard output as JSON lines, the first of which says what they are of")
    .argument("<job>", "name of the job")
    .argument("[operator]", "id of the operator; all if it is left out")
    .argument("[state]", "name of the state; all of the operator if it is left out")
    .option(LIVE, LIVE_IS)
    .addHelpText("after", outcomes("all of it is written"))
    .action(dump);
  loadCommand(state);
}

function addSourceOptions(command: Command): Command {
  return addClientOptions(command)
    .option("--checkpoint <id>", "of this retained checkpoint; default the latest", wholeNumber(1))
    .option("--savepoint <location>", "of this savepoint, as savepoint or stop has printed it");
}

/** One line of `state ls`. */
interface StateSummary {
  readonly operator: string;
  readonly state: string;
  readonly kind: CatalogEntry["kind"];
  /** In which its values are stored; several where subtasks differ. Of states that users have named. */
  readonly versions?: readonly string[];
  /** Values, entries of maps, lists, timers; of state without key the entries. */
  readonly rows: number;
  readonly bytes: number;
}

/** @throws ConfigurationError for two places */
function checkLive({ checkpoint, savepoint }: LiveFlags): void {
  const other =
    checkpoint !== undefined ? "--checkpoint" : savepoint !== undefined ? "--savepoint" : undefined;
  if (other !== undefined)
    throw new ConfigurationError("live", `--live and ${other} name two places: give one of them`);
}

async function list(job: string, flags: LiveFlags): Promise<void> {
  checkJobName(job);
  if (flags.live === true) return listNow(job, flags);
  await withView(flags, async (view) => {
    let found: { from: ReadFrom; states: StateSummary[] } | undefined;
    await withSource(view, job, flags, async (source) => {
      const states: StateSummary[] = [];
      for (const entry of catalogOf(source.plan, source.manifest))
        states.push(await summaryOf(entry, source));
      found = { from: source.from, states };
    });
    const { from, states } = found!;
    print(flags, { job, from, states }, [`of ${describeFrom(job, from)}`, describeStates(states)].join("\n"));
  });
}

async function listNow(job: string, flags: LiveFlags): Promise<void> {
  checkLive(flags);
  await withView(flags, async (view) => {
    const { from, states } = await listLive(view, flags, job);
    const rows = states.map((one) => [
      ...[one.operator, one.state, one.kind],
      ...[one.rows === undefined ? "" : count(one.rows), String(one.subtasks)],
    ]);
    const text =
      rows.length === 0
        ? "no subtask that runs has state of a name of yours"
        : table([["OPERATOR", "STATE", "KIND", "ROWS", "SUBTASKS"], ...rows]);
    print(flags, { job, from, states }, [`of ${describeFrom(job, from)}`, text].join("\n"));
  });
}

async function summaryOf(entry: CatalogEntry, source: StateSource): Promise<StateSummary> {
  const { operator, state, kind } = entry;
  if (!isKeyed(entry)) {
    const handles = entry.parts.map(({ handle }) => handle);
    const entries = handles.flatMap((handle) => handle.entries);
    const isUsers = kind === "list" || kind === "union" || kind === "broadcast";
    return {
      ...{ operator, state, kind },
      ...(isUsers && { versions: versionsOf(handles) }),
      ...{ rows: entries.length, bytes: sum(entries.map((one) => one.byteLength)) },
    };
  }
  const pieces = entry.handles.flatMap((handle) => handle.pieces);
  const inline = pieces.map(({ content }) => (content instanceof Uint8Array ? content.byteLength : 0));
  const objects = entry.handles.flatMap(stateObjects).map(({ bytes }) => bytes);
  const rows = await countKeyed(entry, { ...optionsOf(source) });
  const versions = versionsOf(entry.handles);
  return { operator, state, kind, versions, rows, bytes: sum([...inline, ...objects]) };
}

const versionsOf = (handles: readonly { readonly version?: string | undefined }[]): string[] =>
  [...new Set(handles.map(({ version = FIRST_VERSION }) => version))].sort();

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const optionsOf = ({ plan: { maxParallelism }, read }: StateSource) => ({ maxParallelism, read });

function describeStates(states: readonly StateSummary[]): string {
  if (states.length === 0) return "no operator of it has state";
  const rows = states.map((one) => [
    ...[one.operator, one.state, one.kind, one.versions?.join(", ") ?? ""],
    ...[count(one.rows), size(one.bytes)],
  ]);
  return table([["OPERATOR", "STATE", "KIND", "VERSION", "ROWS", "SIZE"], ...rows]);
}

async function get(
  job: string,
  operator: string,
  state: string,
  argument: string | undefined,
  flags: LiveFlags,
): Promise<void> {
  checkJobName(job);
  const key = argument === undefined ? undefined : keyOf(argument);
  await withView(flags, async (view) => {
    if (flags.live === true) {
      checkLive(flags);
      const now = await getLive(view, flags, job, operator, state, key);
      if (now.lines.length === 0 && key !== undefined)
        throw nothingFor(operator, state, describeFrom(job, now.from));
      for (const line of now.lines) commandOutput.writeAsIs(textOf({ job, from: now.from, ...line }));
      return;
    }
    let found: { from: ReadFrom; lines: StateLine[] } | undefined;
    await withSource(view, job, flags, async (source) => {
      const entry = chosen(catalogOf(source.plan, source.manifest), job, operator, state)[0]!;
      const lines = isKeyed(entry)
        ? await linesAt(entry, neededKey(entry, key), source)
        : unkeyed(entry, key);
      found = { from: source.from, lines };
    });
    const { from, lines } = found!;
    for (const line of lines) commandOutput.writeAsIs(textOf({ job, from, ...line }));
  });
}

function unkeyed(entry: Exclude<CatalogEntry, KeyedEntry>, key: Key | undefined): StateLine[] {
  refuseKey(entry, key);
  return [...unkeyedLines(entry)];
}

/** @throws RequestRefusedError when the key has nothing there, naming keys that look alike */
async function linesAt(entry: KeyedEntry, key: Key, source: StateSource): Promise<StateLine[]> {
  const lines = await linesOf(entry, key, source);
  if (lines.length > 0) return lines;
  const { operator, state } = entry;
  for (const other of lookalikes(key))
    if ((await linesOf(entry, other, source)).length > 0)
      throw new RequestRefusedError(
        `state "${state}" of operator ${operator} has nothing for this key, a ${typeof key}, and something for the ${typeof other} that looks like it: give '${JSON.stringify(toJson(other))}'`,
      );
  throw nothingFor(operator, state, describeFrom(source.job, source.from));
}

const nothingFor = (operator: string, state: string, from: string): Error =>
  new RequestRefusedError(`state "${state}" of operator ${operator} has nothing for this key (of ${from})`);

async function linesOf(entry: KeyedEntry, key: Key, source: StateSource): Promise<StateLine[]> {
  const group = keyGroupOf(key, source.plan.maxParallelism);
  const options = {
    ...optionsOf(source),
    operator: entry.operator,
    keyGroups: { first: group, last: group },
  };
  const lines: StateLine[] = [];
  for await (const portion of portionsOf(tablesOf(entry), options))
    lines.push(...linesOfKey(entry, portion, key));
  return lines;
}

async function dump(
  job: string,
  operator: string | undefined,
  state: string | undefined,
  flags: LiveFlags,
): Promise<void> {
  checkJobName(job);
  await withView(flags, async (view) => {
    if (flags.live === true) {
      checkLive(flags);
      for await (const line of dumpLive(view, flags, job, operator, state)) {
        if ("tidemark" in line) writeMessage(`state of ${describeFrom(job, line.from)}`);
        if (!(await written(line))) return;
      }
      return;
    }
    let hasBegun = false;
    const look = async (source: StateSource) => {
      const entries = chosen(catalogOf(source.plan, source.manifest), job, operator, state);
      writeMessage(`state of ${describeFrom(job, source.from)}`);
      hasBegun = true;
      commandOutput.writeAsIs(textOf(headerOf(source)));
      tellLeftOut(source);
      for (const entry of entries) {
        const lines = isKeyed(entry) ? keyedLines(entry, optionsOf(source)) : unkeyedLines(entry);
        for await (const line of lines) if (!(await written(line))) return;
      }
    };
    await withSource(view, job, flags, look, () => !hasBegun);
  });
}

/** false: no one reads it any more. */
async function written(line: unknown): Promise<boolean> {
  commandOutput.writeAsIs(textOf(line));
  if (commandOutput.isBehind) await commandOutput.room();
  return !commandOutput.isOver;
}

/** Data of the user's: whatever looks like a command in it stays as it is. */
const textOf = (line: unknown): string => `${JSON.stringify(line)}\n`;

/** What a checkpoint holds beside states is not written: who reads the lines must not think that it was nothing. */
function tellLeftOut({ manifest: { subtasks } }: StateSource): void {
  const records = sum(subtasks.flatMap(({ channels }) => channels.map((one) => one.records)));
  const transactions = sum(subtasks.map((subtask) => subtask.transactions.length));
  if (records > 0)
    writeMessage(`warning: ${count(records)} records that lay in channels are not among the lines`);
  if (transactions > 0)
    writeMessage(`warning: ${count(transactions)} uncommitted transactions of sinks are not among the lines`);
}
