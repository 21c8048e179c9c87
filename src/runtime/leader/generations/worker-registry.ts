/**
 * The workers of one job, as its leader knows them.
 *
 * Owns: which workers are registered and alive, where subtasks go. Does not own: what a lost worker means
 * (machines/leader/job.ts).
 *
 * WR1  A worker is lost when no process answers to its name, twice, 250 ms apart, with our own connection up for 2 s;
 *     or when it has not answered for the heartbeat timeout (P28).
 * WR2  A worker that answers without a subtask that was placed on it has lost that subtask (P5). One that is avoided
 *      gets subtasks only where no other one has a slot.
 * WR3  A registration is believed when the worker itself answers, with the seal that it announces (P69): one that comes
 *      again after its process is gone, or that no worker has sent, registers nothing.
 * WR4  A worker is asked on its inbox, where no other process listens, if it has answered there once: only there does
 *      "no responders" tell of its end whatever subscriptions others have (P70). Else it is asked on its subject.
 */
import type { HeartbeatConfig, SubtaskName, VertexPlan } from "../../../../machines/protocol.ts";
import { progressInWords, subtaskStateInWords } from "../../../../machines/words.ts";
import type { Clock, Timer } from "../../../clock.ts";
import type { ControlLink } from "../../../control/link.ts";
import type { JobReport, PingAnswer, WorkerRegistration, WorkerRequest } from "../../../control/messages.ts";
import type { LiveSubtask, StateLook } from "../../../control/requests/live-state.ts";
import { shapes } from "../../../control/shapes.ts";
import type { Subjects } from "../../../dataflow/channel/subjects.ts";
import { NoRespondersError, retryOf } from "../../../errors.ts";
import type { Timings } from "../../timings.ts";

/** How a worker has answered for the first time. */
export interface Reached {
  /** What it is asked on (WR4). */
  readonly subject: string;
  readonly answer: PingAnswer | undefined;
}

/** A registered worker. */
export interface KnownWorker extends Reached {
  /** The latest. */
  readonly registration: WorkerRegistration;
}

interface Worker extends KnownWorker {
  registration: WorkerRegistration;
  lastAnswerMs: number;
  answer: PingAnswer | undefined;
  silentOnce: boolean;
  isAvoided: boolean;
  timer: Timer | undefined;
}

export interface WorkerRegistryOptions {
  readonly link: ControlLink;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly timings: Pick<Timings, "secondProbeMs" | "connectionSettledMs">;
  readonly heartbeat: HeartbeatConfig;
  /** The operators that run functions on this worker. */
  readonly functionsOn: (worker: string) => readonly string[];
  readonly onChange: () => void;
  readonly onLost: (worker: string, reason: string) => void;
  /** `askedMs`: when it was asked, on the monotonic clock. */
  readonly onAnswer: (worker: string, answer: PingAnswer, askedMs: number) => void;
}

const NAMED_MAX = 5;

function wordsOf(operators: readonly string[]): string {
  if (operators.length === 0) return "";
  const named = operators.slice(0, NAMED_MAX).map((id) => `"${id}"`);
  const more = operators.length > NAMED_MAX ? ` or ${operators.length - NAMED_MAX} more` : "";
  return `, or a function of operator ${named.join(", ")}${more} does not return`;
}

/**
 * A ping that was delivered just before its process died gets no answer at all. NATS says of the next one that there is
 * no responder. A worker that is only slow is not lost by this; its own registrations count as signs of life.
 */
function pingTimeoutMs({ pingIntervalMs, timeoutMs }: HeartbeatConfig): number {
  return Math.min(Math.max(2 * pingIntervalMs, PING_TIMEOUT_MS_MIN), timeoutMs / 4);
}

const PING_TIMEOUT_MS_MIN = 250;
const KNOWN_MAX = 10_000;
/** The time for a look into state: less than a client waits for its leader. */
const LOOK_MS = 1500;
/** A forged registration costs a ping. */
const REACHING_MAX = 100;

export class WorkerRegistry {
  readonly #options: WorkerRegistryOptions;
  readonly #workers = new Map<string, Worker>();
  /** Process, machine and secret of each worker, lost ones included. */
  readonly #known = new Map<string, { readonly place: string; readonly secret: string }>();
  /** Whom the registrations under way are from, and the subject that the worker answers on, if it does (WR3). */
  readonly #reaching = new Map<string, Promise<Reached | undefined>>();
  #closed = false;

  constructor(options: WorkerRegistryOptions) {
    this.#options = options;
  }

  /** The answer of the worker of a registration; undefined: it does not answer, or another worker has its name. */
  async reach(registration: WorkerRegistration): Promise<Reached | undefined> {
    const { worker, secret } = registration;
    const present = this.#workers.get(worker);
    if (present !== undefined) return present.registration.secret === secret ? present : undefined;
    const name = `${worker} ${secret}`;
    const underWay = this.#reaching.get(name);
    if (underWay !== undefined) return await underWay;
    if (this.#reaching.size >= REACHING_MAX) return undefined;
    const reaching = this.#firstAnswering(registration).finally(() => this.#reaching.delete(name));
    this.#reaching.set(name, reaching);
    return await reaching;
  }

  /** What the subtasks of all workers hold. One that does not answer in time is left out. */
  async look(look: StateLook): Promise<readonly LiveSubtask[]> {
    const { link } = this.#options;
    const answers = await Promise.all(
      [...this.#workers.values()].map(async ({ subject, registration: { secret } }) => {
        const request: WorkerRequest = { type: "worker.state", look };
        try {
          return await link.ask(subject, request, shapes.liveAnswer, LOOK_MS, { secret });
        } catch (error) {
          if (retryOf(error) === "now") return { subtasks: [] };
          throw error;
        }
      }),
    );
    return answers.flatMap(({ subtasks }) => subtasks);
  }

  /** @param reached as `reach` has found it */
  register(registration: WorkerRegistration, { subject, answer }: Reached): void {
    const known = this.#workers.get(registration.worker);
    if (known !== undefined) {
      if (registration.nth <= known.registration.nth) return;
      known.registration = registration;
      known.lastAnswerMs = this.#options.clock.elapsedMs();
      return;
    }
    const worker: Worker = {
      registration,
      subject,
      lastAnswerMs: this.#options.clock.elapsedMs(),
      answer,
      silentOnce: false,
      isAvoided: false,
      timer: undefined,
    };
    this.#workers.set(registration.worker, worker);
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    const { processId, host, secret } = registration;
    this.#known.set(registration.worker, { place: `pid ${processId} on ${host}`, secret });
    this.#schedule(worker, 0);
    this.#options.onChange();
  }

  list(): readonly KnownWorker[] {
    return [...this.#workers.values()];
  }

  /** Reports all workers, and the subtasks of these generations. */
  report(generations: readonly number[]): Pick<JobReport, "workers" | "subtasks"> {
    const workers = this.list();
    return {
      workers: workers.map(({ registration: { worker, slots, processId, host } }) => ({
        worker,
        slots,
        processId,
        host,
      })),
      subtasks: workers.flatMap(({ registration: { worker }, answer }) =>
        (answer?.subtasks ?? [])
          .filter(({ generation }) => generations.includes(generation))
          .map((subtask) => ({ ...subtask, worker })),
      ),
    };
  }

  /** How far a subtask is with a checkpoint under way, as its worker has said last. */
  progressOf(
    subtask: SubtaskName,
    checkpointId: number,
  ): { readonly phase: string; readonly channels: readonly string[] } {
    for (const { answer } of this.#workers.values()) {
      const found = answer?.subtasks.find((one) => one.subtask === subtask);
      if (found === undefined) continue;
      const { checkpoints, state } = found;
      const checkpoint = checkpoints.find((one) => one.checkpointId === checkpointId);
      // Its trigger has not come yet.
      if (checkpoint === undefined) return { phase: subtaskStateInWords(state), channels: [] };
      return { phase: progressInWords[checkpoint.phase], channels: checkpoint.missingChannels };
    }
    return { phase: "not heard of", channels: [] };
  }

  /** Its name, process and machine, also when it is lost: for people. */
  describe(worker: string): string {
    const known = this.#known.get(worker);
    return known === undefined ? worker : `${worker} (${known.place})`;
  }

  /** What it seals its messages with, also when it is lost; undefined: it has never been here. */
  secretOf(worker: string): string | undefined {
    return this.#workers.get(worker)?.registration.secret ?? this.#known.get(worker)?.secret;
  }

  /** This worker comes last from now on, until it is lost. */
  avoid(id: string): void {
    const worker = this.#workers.get(id);
    if (worker !== undefined) worker.isAvoided = true;
  }

  has(worker: string): boolean {
    return this.#workers.has(worker);
  }

  /** The highest generation that any of them has seen, of those below this one. */
  highestBelow(bound: number): number {
    const seen = [...this.#workers.values()].flatMap(({ answer }) => answer?.generations ?? []);
    return Math.max(0, ...seen.filter((generation) => generation < bound));
  }

  get slots(): number {
    return [...this.#workers.values()].reduce((sum, worker) => sum + worker.registration.slots, 0);
  }

  /**
   * Subtask i of every vertex goes to slot i; slots are dealt round robin over the workers, so that the load is even.
   * undefined when there are not enough. Workers that are avoided come last (WR2). A worker that has copies of the
   * state of subtasks i comes first for slot i (P102).
   * @param kept where subtasks run that stay there, and with them their slots
   * @param incarnation of the job
   */
  place(
    vertices: readonly VertexPlan[],
    kept: { readonly [subtask: SubtaskName]: string },
    incarnation: string,
  ): { [subtask: SubtaskName]: string } | undefined {
    const slots = Array.from(
      { length: Math.max(...vertices.map((vertex) => vertex.parallelism)) },
      (_, index) => vertices.map(({ id }) => kept[`${id}/${index}`]).find((worker) => worker !== undefined),
    );
    const free = [...this.#workers.values()]
      .map(({ registration: { worker, slots: offered, copies }, isAvoided }) => ({
        worker,
        isAvoided,
        copies: new Set(copies?.[incarnation]),
        left: offered - slots.filter((taken) => taken === worker).length,
      }))
      .sort((a, b) => (a.worker < b.worker ? -1 : 1));
    for (const [index, taken] of slots.entries()) {
      if (taken !== undefined) continue;
      const worker = free.find((one) => one.left > 0 && !one.isAvoided && one.copies.has(index));
      if (worker === undefined) continue;
      slots[index] = worker.worker;
      worker.left--;
    }
    while (slots.includes(undefined)) {
      const left = free.filter((worker) => worker.left > 0);
      const good = left.filter((worker) => !worker.isAvoided);
      const round = good.length === 0 ? left : good;
      if (round.length === 0) return undefined;
      for (const worker of round) {
        const next = slots.indexOf(undefined);
        if (next < 0) break;
        slots[next] = worker.worker;
        worker.left--;
      }
    }
    const placement: { [subtask: SubtaskName]: string } = {};
    for (const vertex of vertices)
      for (let index = 0; index < vertex.parallelism; index++)
        placement[`${vertex.id}/${index}`] = slots[index]!;
    return placement;
  }

  close(): void {
    this.#closed = true;
    for (const worker of this.#workers.values()) worker.timer?.cancel();
    this.#workers.clear();
  }

  #schedule(worker: Worker, ms: number): void {
    if (this.#closed) return;
    worker.timer = this.#options.clock.after(ms, () => void this.#ping(worker));
  }

  async #firstAnswering({ worker, inbox, secret }: WorkerRegistration): Promise<Reached | undefined> {
    const { subjects, heartbeat } = this.#options;
    for (const subject of [inbox, subjects.workers(worker)])
      try {
        const answer = await this.#ask(subject, secret, pingTimeoutMs(heartbeat));
        if (answer.worker === worker) return { subject, answer };
      } catch (error) {
        // It may not be reached there: permissions forbid it, or another account lies between.
        if (retryOf(error) !== "now") throw error;
      }
    return undefined;
  }

  #ask(subject: string, secret: string, timeoutMs: number): Promise<PingAnswer> {
    return this.#options.link.ask(subject, { type: "worker.ping" }, shapes.pingAnswer, timeoutMs, { secret });
  }

  async #ping(worker: Worker): Promise<void> {
    const { heartbeat, clock } = this.#options;
    const { worker: id, secret } = worker.registration;
    const askedMs = clock.elapsedMs();
    let answer: PingAnswer | undefined;
    let error: unknown;
    try {
      answer = await this.#ask(worker.subject, secret, pingTimeoutMs(heartbeat));
    } catch (caught) {
      error = caught;
    }
    if (this.#closed || this.#workers.get(id) !== worker) return;
    if (answer === undefined) {
      this.#unanswered(worker, error);
      return;
    }
    worker.lastAnswerMs = clock.elapsedMs();
    worker.silentOnce = false;
    worker.answer = answer;
    this.#schedule(worker, heartbeat.pingIntervalMs);
    this.#options.onAnswer(id, answer, askedMs);
  }

  #unanswered(worker: Worker, error: unknown): void {
    const { link, clock, timings, heartbeat } = this.#options;
    const connected = link.bus.connectedForMs() >= timings.connectionSettledMs;
    const isAbsent = connected && error instanceof NoRespondersError;
    const lost = connected ? this.#reasonToLose(worker, isAbsent) : undefined;
    worker.silentOnce = isAbsent;
    if (!connected) worker.lastAnswerMs = clock.elapsedMs();
    if (lost === undefined)
      this.#schedule(worker, isAbsent ? timings.secondProbeMs : heartbeat.pingIntervalMs);
    else this.lose(worker.registration.worker, lost);
  }

  /** WR1: is it gone, or does it hang? */
  #reasonToLose(worker: Worker, isAbsent: boolean): string | undefined {
    const { clock, heartbeat, functionsOn } = this.#options;
    if (isAbsent) return worker.silentOnce ? "nothing answers to its name: the process is gone" : undefined;
    if (clock.elapsedMs() - worker.lastAnswerMs <= heartbeat.timeoutMs) return undefined;
    const mayHang = wordsOf(functionsOn(worker.registration.worker));
    return `no answer for ${heartbeat.timeoutMs} ms: the process hangs or is cut off${mayHang}`;
  }

  /** It is gone, as a ping has found or as it says itself. */
  lose(id: string, reason: string): void {
    this.#workers.get(id)?.timer?.cancel();
    if (this.#closed || !this.#workers.delete(id)) return;
    this.#options.onLost(id, reason);
    this.#options.onChange();
  }
}
