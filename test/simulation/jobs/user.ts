/**
 * The user of a drawn job: submits it, does what was drawn while it runs, starts it again where it was stopped, and
 * sees it to its end.
 *
 * Owns: which life of the job follows which. Does not own: whether the output is right (oracle/verdict.ts).
 */
import type { JobRecord, RestoreOrigin } from "../../../machines/protocol.ts";
import type { ControlClient } from "../../../src/control/client.ts";
import type { JobSubmission, RestoreRequest } from "../../../src/control/messages.ts";
import { describeError, EnvironmentError, RequestRefusedError } from "../../../src/errors.ts";
import { keepsState } from "../../../src/runtime/leader/submissions/submission.ts";
import type { VirtualProcess } from "../scheduler.ts";
import type { DrawnAct, DrawnChange, DrawnLife } from "./drawing.ts";

export const SAVEPOINTS = "/savepoints";
const LOOK_EVERY_MS = 200;
const LOOKS_PER_QUESTION = 15;
const STALLED = "made no progress";
/** Said of a marker where going on would write twice. */
const BEYOND = "beyond the restored checkpoint";
/** Said of a savepoint that a job has gone back behind. */
const PASSED_OVER = "went back behind it";
/** Said of a job that starts again at present. */
const NOT_NOW = "cannot be rescaled now";
const RESCALE_TRIES = 30;
const GOES_BACK_FROM: readonly JobRecord["status"][] = ["canceled", "suspended", "stopped"];
export const ENDED: readonly JobRecord["status"][] = [
  "finished",
  "failed",
  "canceled",
  "suspended",
  "stopped",
];

/** How the last life of the job came to its end: all input was read, or the job was ended in the middle of it. */
export type Ending = "complete" | "drained" | "cut";

export interface UserOptions {
  /** Its name in its present life. */
  job(): string;
  /** The next life of the job: its workers are started anew. */
  become(life: DrawnLife): void;
  /** The life that the job has become has the parallelism of the one before it. */
  keepScale(): void;
  /** From now on, with what is at this place. */
  change(change: DrawnChange, from: string): void;
  /** Another job, with a user of its own, is restored from this place. */
  fork(life: DrawnLife, from: RestoreRequest): void;
  /** The user goes back behind what the job has written. Its present life has ended. */
  goBack(record: JobRecord): void;
  /** What the job is restored from to begin with; null: it begins with nothing. */
  readonly from: RestoreRequest | null;
  readonly acts: readonly DrawnAct[];
  /** Some source never ends by itself. */
  readonly endless: boolean;
  readonly process: VirtualProcess;
  readonly client: ControlClient;
  readonly newId: () => string;
  /** @param skipGaps sources that go on where their input has gone */
  submission(skipGaps: readonly string[]): Promise<JobSubmission>;
  /** The sources whose input has gone, because of which the job has failed. */
  gapsIn(record: JobRecord): readonly string[];
  /** The job's record as it is now. */
  look(): Promise<JobRecord | undefined>;
  /** All that will ever come has come, and is in the output. */
  isSatisfied(): boolean;
  /** False: this replay leaves the act out. */
  happens(name: string): boolean;
  tell(line: string): void;
}

export class User {
  ending: Ending | undefined;
  /** What was refused, or went wrong, although it must not. */
  readonly wrong: string[] = [];
  /** What was done, with its outcome. */
  readonly done: string[] = [];
  /** The sources were told once to end before their input did. */
  drains = false;
  /** What a savepoint held pending is written though it may be there: it may come twice. */
  writesAgain = false;
  #hasChanged = false;
  readonly #options: UserOptions;
  /** What the end will be when the job stops, since it was told to drain. */
  #draining: "complete" | "drained" | undefined;
  /** The place of the savepoint that the job was ended with. */
  #location: string | undefined;
  /** The last savepoint that another job was restored from while this one ran on. */
  #forkedFrom: RestoreRequest | undefined;

  constructor(options: UserOptions) {
    this.#options = options;
  }

  begin(): void {
    const live = async (): Promise<void> => {
      try {
        this.ending = await this.#live();
      } catch (error) {
        this.wrong.push(`the user: ${describeError(error)}`);
      }
    };
    this.#options.process.acts("submits", () => void live());
  }

  /** Deletes what processes that lead no more have left of jobs that have ended. */
  collect(jobs: readonly string[]): void {
    const { client, newId, process } = this.#options;
    for (const job of jobs)
      process.acts("collects", () => void this.#tries("collect", () => client.collect(job, newId())));
  }

  async #live(): Promise<Ending> {
    const { acts, process, happens, from } = this.#options;
    await this.#submit(from);
    for (const [i, act] of acts.entries()) {
      await process.passes(act.afterMs, "waits");
      if (await this.#isOver()) break;
      if (happens(`user ${i} ${act.kind}`)) await this.#act(act);
    }
    for (;;) {
      const over = await this.#isOver();
      if (over !== undefined) return over;
      if (this.#options.endless && this.#options.isSatisfied()) await this.#snapshot("drain");
      await process.passes(LOOK_EVERY_MS, "looks");
    }
  }

  /** Starts the job again where that can be done. */
  async #isOver(act?: DrawnAct): Promise<Ending | undefined> {
    const record = await this.#options.look();
    if (record !== undefined && act?.goesBack === "to-nothing" && GOES_BACK_FROM.includes(record.status)) {
      await this.#beginAnew(record, act.pauseMs);
      return undefined;
    }
    switch (record?.status) {
      case "finished":
        return "complete";
      case "stopped":
        if (this.#draining !== undefined) return this.#draining;
        await this.#restart(act, this.#location ?? record.savepoints.at(-1)!.location);
        return undefined;
      case "canceled":
        if (this.#location !== undefined) await this.#restart(act, this.#location);
        else if (record.checkpoints.length > 0) await this.#restart(act, this.#checkpointOf(record, act));
        else return "cut";
        return undefined;
      case "suspended":
        await this.#restart(act, undefined);
        return undefined;
      case "failed":
        if (this.#forkedFrom !== undefined && this.#isBehindFork(record)) {
          await this.#joinFork(record, this.#forkedFrom);
          return undefined;
        }
        if (record.origin !== null && this.#isPassedOver(record)) {
          await this.#writeAgain(record.origin);
          return undefined;
        }
        if (!keepsState(record)) return "cut";
        await this.#restart(act, undefined, this.#options.gapsIn(record));
        return undefined;
      default:
        return undefined;
    }
  }

  /** The place of one that a canceled job has left. */
  #checkpointOf(record: JobRecord, act: DrawnAct | undefined): string {
    const [oldest] = record.checkpoints;
    if (act?.goesBack !== "to-oldest" || record.checkpoints.length === 1) return `checkpoint:${record.job}`;
    this.#options.goBack(record);
    this.done.push("restore an older checkpoint");
    return `checkpoint:${record.job}/${oldest!.checkpointId}`;
  }

  async #beginAnew(record: JobRecord, pauseMs: number): Promise<void> {
    await this.#options.process.passes(pauseMs, "pauses");
    this.#options.goBack(record);
    this.done.push("begin anew");
    this.#location = undefined;
    await this.#submit(null, [], true);
  }

  /** Another job has committed what this one had pending at a savepoint, and this one went back behind that. */
  #isBehindFork({ failures }: JobRecord): boolean {
    return failures.at(-1)?.reason.includes(BEYOND) === true;
  }

  /** Goes on from where the other job began; a claimed savepoint is gone, so then it begins anew. */
  async #joinFork(record: JobRecord, from: RestoreRequest): Promise<void> {
    this.done.push("join a fork");
    if (from.mode === "claim") return this.#beginAnew(record, 0);
    await this.#submit(from, [], true);
  }

  /** The job that this one has its beginning from went back behind that before this one had committed it. */
  #isPassedOver({ failures }: JobRecord): boolean {
    return failures.at(-1)?.reason.includes(PASSED_OVER) === true;
  }

  async #writeAgain({ location, mode }: RestoreOrigin): Promise<void> {
    this.done.push("write again what a fork was too late for");
    this.writesAgain = true;
    const claims = mode === "claim" ? mode : "no-claim";
    await this.#submit({ location, mode: claims, drop: [], writeAgain: true }, [], true);
  }

  async #restart(
    act: DrawnAct | undefined,
    from: string | undefined,
    skipGaps: readonly string[] = [],
  ): Promise<void> {
    await this.#options.process.passes(act?.pauseMs ?? 0, "pauses");
    if (from !== undefined && act?.becomes !== undefined) {
      this.#options.become(act.becomes);
      this.done.push("restore as a fork");
    } else if (from !== undefined) this.done.push("restore");
    const mode = act?.claims ? "claim" : "no-claim";
    const drop = from === undefined ? [] : this.#change(act?.becomes?.change, from);
    if (skipGaps.length > 0) this.done.push("skip gaps");
    const restore = from === undefined ? null : ({ location: from, mode, drop, writeAgain: false } as const);
    await this.#submit(restore, skipGaps);
    this.#location = undefined;
  }

  /** Answers whose state is given up. */
  #change(change: DrawnChange | undefined, from: string): readonly string[] {
    if (change === undefined || this.#hasChanged) return [];
    this.#hasChanged = true;
    this.#options.change(change, from);
    this.done.push(`restore where an operator ${change.then}`);
    return change.then === "is new" ? [] : [change.operator];
  }

  async #submit(
    asked: RestoreRequest | null,
    skipGaps: readonly string[] = [],
    fresh = false,
  ): Promise<void> {
    let restore = asked;
    const { client, newId, process, submission, tell } = this.#options;
    for (;;) {
      tell(restore === null ? "the user submits the job" : `the user restores ${restore.location}`);
      try {
        const submitted = { ...(await submission(skipGaps)), submissionId: newId() };
        return await client.submit(submitted, fresh, restore);
      } catch (error) {
        if (restore?.writeAgain === false && describeError(error).includes("--write-again")) {
          restore = { ...restore, writeAgain: true };
          this.writesAgain = true;
          this.done.push("write again");
          continue;
        }
        if (describeError(error).includes("while some of its subtasks were ahead")) {
          this.#options.keepScale();
          this.done.push("restore as it was, which cannot be rescaled");
          continue;
        }
        // A storage that stands still is said, and the user tries again.
        if (!(error instanceof RequestRefusedError && error.message.includes(STALLED))) throw error;
      }
      await process.passes(LOOK_EVERY_MS, "tries again");
    }
  }

  async #act(act: DrawnAct): Promise<void> {
    const { client, newId } = this.#options;
    const job = this.#options.job();
    this.#options.tell(`the user: ${act.kind}`);
    switch (act.kind) {
      case "savepoint":
      case "checkpoint":
        await this.#snapshot("go-on", act.kind);
        return;
      case "fork":
        await this.#fork(act);
        return;
      case "rescale":
        await this.#rescale(act);
        return;
      case "collect":
        await this.#tries(act.kind, () => client.collect(job, newId()));
        return;
      case "stop":
        await this.#snapshot("stop");
        break;
      case "drain":
        await this.#snapshot("drain");
        break;
      case "cancel-with-savepoint":
        await this.#snapshot("cancel");
        break;
      case "suspend":
        await this.#tries(act.kind, () => client.suspend(job));
        await this.#ends(() => client.suspend(job));
        break;
      case "cancel":
        if ((await this.#tries(act.kind, () => client.cancel(job))) !== false)
          await this.#ends(() => client.cancel(job));
    }
    await this.#isOver(act);
  }

  async #fork({ becomes, claims, pauseMs }: DrawnAct): Promise<void> {
    const location = await this.#snapshot("go-on");
    if (location === undefined || becomes === undefined) return;
    await this.#options.process.passes(pauseMs, "waits");
    const mode = claims ? "claim" : "no-claim";
    const from = { location, mode, drop: [], writeAgain: false } as const;
    this.#options.fork(becomes, from);
    this.#forkedFrom = from;
    this.done.push("restore beside the job");
  }

  async #rescale({ kind, parallelism: operators = {} }: DrawnAct): Promise<void> {
    const { client, newId, process } = this.#options;
    const job = this.#options.job();
    const asks = (): Promise<void> => client.rescale({ job, request: newId(), parallelism: null, operators });
    await this.#tries(kind, async () => {
      for (let left = RESCALE_TRIES; ; left--)
        try {
          return await asks();
        } catch (error) {
          if (left === 0 || !describeError(error).includes(NOT_NOW)) throw error;
          await process.passes(LOOK_EVERY_MS, "asks again");
        }
    });
  }

  /** @returns the place of a savepoint after which the job goes on */
  async #snapshot(
    after: "go-on" | "stop" | "drain" | "cancel",
    kind: "savepoint" | "checkpoint" = "savepoint",
  ): Promise<string | undefined> {
    const { client, newId } = this.#options;
    const job = this.#options.job();
    if (after === "drain") {
      this.drains = true;
      this.#draining = this.#options.isSatisfied() ? "complete" : "drained";
    }
    const directory = kind === "savepoint" ? SAVEPOINTS : null;
    const request = { job, request: newId(), kind, directory, followedBy: after };
    const taken = await this.#tries(`${kind} and ${after}`, () => client.snapshot(request));
    if (taken === false) this.#draining = undefined;
    if (taken === false) return undefined;
    const location = taken === true ? undefined : (taken.location ?? undefined);
    if (after === "go-on") return location;
    await this.#ends();
    if (taken !== true) this.#location = location;
    return undefined;
  }

  /** false: it was refused, and the job goes on. true: it is decided, and not known how it ended. */
  async #tries<T>(what: string, act: () => Promise<T>): Promise<T | boolean> {
    let outcome = "done";
    try {
      return await act();
    } catch (error) {
      outcome = describeError(error);
      if (error instanceof RequestRefusedError) return false;
      if (error instanceof EnvironmentError) return true;
      throw error;
    } finally {
      this.done.push(what);
      this.#options.tell(`the user: ${what}: ${outcome}`);
    }
  }

  /** @param ask what was taken by a leader is forgotten with it, so it is asked for again */
  async #ends(ask?: () => Promise<void>): Promise<void> {
    const { look, process } = this.#options;
    for (let looks = 1; ; looks++) {
      const status = (await look())?.status;
      if (status !== undefined && ENDED.includes(status)) return;
      await process.passes(LOOK_EVERY_MS, "waits for the end");
      if (looks % LOOKS_PER_QUESTION === 0) await ask?.().catch(() => undefined);
    }
  }
}
