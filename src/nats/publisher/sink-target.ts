/**
 * The stream a sink writes to: what exactly-once asks of it, how to mend it, and which subjects it takes.
 *
 * Facts in, words out; only `readStream`, `createStream` and `updateStream` talk to the server.
 */
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { shellCommand } from "../../shell-command.ts";

/** What the server says about a stream that it does not know. */
export function isStreamMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
}

/** undefined: the stream does not exist. */
export async function readStream(
  manager: JetStreamManager,
  stream: string,
): Promise<StreamConfig | undefined> {
  try {
    return (await manager.streams.info(stream)).config;
  } catch (error) {
    if (isStreamMissing(error)) return undefined;
    throw error;
  }
}

export async function createStream(
  manager: JetStreamManager,
  stream: string,
  subjects: readonly string[],
): Promise<StreamConfig> {
  const settings = { allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true };
  return (await manager.streams.add({ name: stream, subjects: [...subjects], ...settings })).config;
}

/** What an exactly-once sink misses in a stream. */
export interface Shortcoming {
  readonly text: string;
  /** Flags of `nats stream edit` that mend it; undefined: only a new stream does. */
  readonly flags: readonly string[] | undefined;
  readonly update: Partial<StreamConfig>;
}

export function shortcomings(config: StreamConfig, markerSubjects: string): Shortcoming[] {
  const found: Shortcoming[] = [];
  const add = (text: string, flags: string[] | undefined, update: Partial<StreamConfig> = {}) =>
    found.push({ text, flags, update });
  if (config.allow_atomic !== true) {
    add("allow_atomic is off", ["--allow-batch"], { allow_atomic: true });
  }
  if (config.allow_rollup_hdrs !== true) {
    add("allow_rollup_hdrs is off", ["--allow-rollup"], { allow_rollup_hdrs: true });
  }
  if (config.allow_msg_ttl !== true) {
    add("allow_msg_ttl is off", ["--allow-msg-ttl"], { allow_msg_ttl: true });
  }
  if (!capturesAll(config.subjects, markerSubjects)) {
    const subjects = [...config.subjects, markerSubjects];
    add(`its subjects do not contain ${markerSubjects}`, [`--subjects=${subjects.join(",")}`], {
      subjects,
    });
  }
  if (config.retention === RetentionPolicy.Interest) {
    add("retention is interest: a marker that nobody consumes would vanish", undefined);
  }
  if (config.storage !== StorageType.File) add("storage is not file: a restart would lose output", undefined);
  if (config.sealed) add("it is sealed", undefined);
  if (config.mirror !== undefined) add("it is a mirror", undefined);
  if (config.subject_transform !== undefined) {
    const { src } = config.subject_transform;
    if (src === undefined || src === "" || overlaps(src, markerSubjects)) {
      add("its subject_transform renames the markers", undefined);
    }
  }
  return found;
}

/** In one sentence: what is missing and what mends it. */
export function unsuitable(stream: string, found: readonly Shortcoming[]): string {
  const reasons = found.map((each) => each.text).join("; ");
  const command = editCommand(stream, found);
  const mending = [];
  if (command !== undefined) mending.push(`run: ${command} (or provision: true)`);
  if (found.some((each) => each.flags === undefined)) mending.push("write to a new stream");
  return `stream ${stream} cannot take exactly-once output: ${reasons}. To mend it, ${mending.join(", and ")}`;
}

/** The command that mends what can be mended by editing; undefined when there is nothing of the kind. */
function editCommand(stream: string, found: readonly Shortcoming[]): string | undefined {
  const flags = found.flatMap((each) => each.flags ?? []);
  return flags.length === 0 ? undefined : shellCommand("nats", "stream", "edit", stream, ...flags, "--force");
}

export function addCommand(stream: string, subjects: readonly string[]): string {
  return shellCommand(
    ...["nats", "stream", "add", stream, `--subjects=${subjects.join(",")}`, "--storage=file"],
    ...["--retention=limits", "--allow-batch", "--allow-rollup", "--allow-msg-ttl", "--defaults"],
  );
}

/** Settings under which the marker may be lost later; the job says so when it starts. */
export function risks(config: StreamConfig): string[] {
  const found: string[] = [];
  const limited = config.max_msgs > 0 || config.max_bytes > 0;
  if (limited && config.discard === DiscardPolicy.Old) {
    found.push("max_msgs or max_bytes with discard old can evict the marker of a sink that is idle for long");
  }
  if (config.retention === RetentionPolicy.Workqueue) {
    found.push(
      "a consumer that takes and acknowledges the marker subjects of this work queue deletes the markers",
    );
  }
  return found;
}

/** Tests whether a subject is one of a stream's, made once for its subjects. Literal subjects only. */
export function subjectMatcher(patterns: readonly string[]): (subject: string) => boolean {
  const tests = patterns.map(patternTest);
  const only = tests[0];
  if (tests.length === 1 && only !== undefined) return only;
  return (subject) => {
    for (const test of tests) if (test(subject)) return true;
    return false;
  };
}

function patternTest(pattern: string): (subject: string) => boolean {
  if (pattern === ">") return () => true;
  if (isLiteralSubject(pattern)) return (subject) => subject === pattern;
  const prefix = pattern.slice(0, -1);
  if (pattern.endsWith(".>") && !prefix.includes("*")) {
    return (subject) => subject.length > prefix.length && subject.startsWith(prefix);
  }
  const wanted = pattern.split(".");
  return (subject) => matchesTokens(wanted, subject.split("."));
}

function matchesTokens(pattern: readonly string[], subject: readonly string[]): boolean {
  for (const [index, token] of pattern.entries()) {
    if (token === ">") return subject.length > index;
    if (index >= subject.length) return false;
    if (token !== "*" && token !== subject[index]) return false;
  }
  return subject.length === pattern.length;
}

/** Does one of the patterns take every subject that `wanted` takes? */
function capturesAll(patterns: readonly string[], wanted: string): boolean {
  const tokens = wanted.split(".");
  return patterns.some((pattern) => {
    const own = pattern.split(".");
    for (const [index, token] of own.entries()) {
      if (token === ">") return tokens.length > index;
      if (index >= tokens.length || tokens[index] === ">") return false;
      if (token !== "*" && token !== tokens[index]) return false;
    }
    return own.length === tokens.length;
  });
}

function overlaps(left: string, right: string): boolean {
  const a = left.split(".");
  const b = right.split(".");
  for (let index = 0; ; index += 1) {
    const x = a[index];
    const y = b[index];
    if (x === undefined || y === undefined) return x === y;
    if (x === ">" || y === ">") return true;
    if (x !== "*" && y !== "*" && x !== y) return false;
  }
}

const DOT = 46;
const STAR = 42;
const GREATER = 62;
const SPACE = 32;

/** Can be published to: tokens that are not empty, no whitespace or control characters, no wildcard token. */
export function isLiteralSubject(subject: string): boolean {
  const length = subject.length;
  let tokenStart = 0;
  for (let at = 0; at < length; at += 1) {
    const code = subject.charCodeAt(at);
    if (code === DOT) {
      if (at === tokenStart) return false;
      tokenStart = at + 1;
    } else if (code <= SPACE || code === 127) {
      return false;
    } else if (code === STAR || code === GREATER) {
      const alone = at === tokenStart && (at + 1 === length || subject.charCodeAt(at + 1) === DOT);
      if (alone) return false;
    }
  }
  return length > tokenStart;
}

/** Can stand between two dots of a subject. */
export function isSubjectToken(token: string): boolean {
  return !token.includes(".") && isLiteralSubject(token);
}
