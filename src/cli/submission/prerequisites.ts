/**
 * Streams and buckets that a job needs and that are missing, or not as it needs them.
 *
 * Owns: that all of them are named at once, and the wait for them. Does not own: what each operator needs (its
 * connector), or whether waiting makes sense (the command).
 */
import { isTombstone } from "../../../machines/record.ts";
import { nearest } from "../../config/suggestion.ts";
import type { ConnectorEnvironment, Logger } from "../../dataflow/connector.ts";
import {
  PrerequisiteError,
  RecordUnreadableError,
  StreamMissingError,
  type WantedStream,
} from "../../errors.ts";
import { NatsEnvironment } from "../../nats/connection/environment.ts";
import { streamMissing, wantedByAll } from "../../nats/publisher/missing-stream.ts";
import { readRecord } from "../../runtime/leader/records/stored-record.ts";
import type { RecordStore } from "../../runtime/record-store.ts";
import { pause } from "../../timer.ts";

const LOOK_EVERY_MS = 500;
const NAMES_MAX = 1000;

export class Prerequisites {
  readonly #nats: unknown;
  readonly #unmet: PrerequisiteError[] = [];

  constructor(nats: unknown) {
    this.#nats = nats;
  }

  /** undefined: something is missing, and is kept for `assertMet`. */
  async ask<T>(question: () => Promise<T>): Promise<T | undefined> {
    try {
      return await question();
    } catch (error) {
      if (!(error instanceof PrerequisiteError)) throw error;
      this.#unmet.push(error);
      return undefined;
    }
  }

  /** @throws PrerequisiteError that holds all of them, a line each; a stream that several operators miss is one */
  async assertMet(): Promise<void> {
    const wanted = new Map<string, WantedStream[]>();
    const others: PrerequisiteError[] = [];
    for (const error of this.#unmet) {
      if (!(error instanceof StreamMissingError)) others.push(error);
      else wanted.set(error.wanted.stream, [...(wanted.get(error.wanted.stream) ?? []), error.wanted]);
    }
    const messages = others.map(({ message }) => message);
    if (wanted.size > 0) {
      const nats = NatsEnvironment.of({ nats: this.#nats }, "the job");
      const known = await streamNames(nats);
      for (const [stream, all] of wanted) {
        const near = nearest(stream, known);
        const hint = near === undefined ? "" : `; or did you mean stream ${near}?`;
        messages.push(`${streamMissing(nats, wantedByAll(all)).message}${hint}`);
      }
    }
    if (messages.length > 0) throw new PrerequisiteError(messages.join("\n"));
  }
}

/** Only for a better message: empty when they cannot be read. */
async function streamNames(nats: NatsEnvironment): Promise<string[]> {
  const names: string[] = [];
  try {
    const manager = await nats.manager();
    for await (const name of manager.streams.names()) {
      names.push(name);
      if (names.length >= NAMES_MAX) break;
    }
  } catch {
    return [];
  }
  return names;
}

/**
 * Whether an earlier run has left a record of the job, with which this one goes on, or none knows it. What is no record
 * is for the leader to name.
 *
 * @param bucket of the records, also where there is none
 */
export async function earlierRun(
  records: RecordStore | undefined,
  bucket: string,
  job: string,
): Promise<Pick<ConnectorEnvironment, "resumes" | "unrecorded">> {
  try {
    const found = records && (await readRecord(records, job));
    if (found === undefined) return { resumes: false, unrecorded: bucket };
    return { resumes: !isTombstone(found.record) };
  } catch (error) {
    if (error instanceof RecordUnreadableError) return { resumes: false };
    throw error;
  }
}

/**
 * Asks again and again until nothing is missing any more.
 *
 * @param ask throws PrerequisiteError while something is missing; whatever else it throws ends the wait
 * @param say what is missing, at first and whenever that changes
 */
export async function untilMet<T>(ask: () => Promise<T>, say: (missing: string) => void): Promise<T> {
  let said: string | undefined;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof PrerequisiteError)) throw error;
      if (error.message !== said) say(error.message);
      said = error.message;
    }
    await pause(LOOK_EVERY_MS);
  }
}

/** Says a warning once, however often the same is looked at. */
export function sayingOnce(logger: Logger): Logger {
  const said = new Set<string>();
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => {
      const line = JSON.stringify([fields, message]);
      if (said.has(line)) return;
      said.add(line);
      logger.warn(fields, message);
    },
    error: (fields, message) => logger.error(fields, message),
  };
}
