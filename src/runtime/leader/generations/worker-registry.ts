/**
 * The workers of one job, as its leader knows them.
 *
 * Owns: which workers are registered and alive, where subtasks go. Does not own: what a lost worker means
 * (machines/leader/job.ts).
 *
 * WR1  A worker is lost when no process answers to its name, twice, 250 ms apart, with our own connection up for 2 s;
 *     or when it has not answered for the heartbeat timeout (P28).
 * WR2  A worker that answers without a subtask that was placed on it has lost that subtask (P5).
 */
import type { HeartbeatConfig, SubtaskName, VertexPlan } from "../../../../machines/protocol.ts";
import { progressInWords, subtaskStateInWords } from "../../../../machines/words.ts";
import type { Clock, Timer } from "../../../clock.ts";
import type { ControlLink } from "../../../control/link.ts";
import type { JobReport, PingAnswer, WorkerRegistration } from "../../../control/messages.ts";
import { shapes } from "../../../control/shapes.ts";
import type { Subjects } from "../../../dataflow/channel/subjects.ts";
import { NoRespondersError } from "../../../errors.ts";
import type { Timings } from "../../timings.ts";

interface Worker {
  readonly registration: WorkerRegistration;
  lastAnswerMs: number;
  answer: PingAnswer | undefined;
  silentOnce: boolean;
  timer: Timer | undefined;
}

export interface WorkerRegistryOptions {
  readonly link: ControlLink;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly timings: Pick<Timings, "secondProbeMs" | "connectionSettledMs">;
  readonly heartbeat: HeartbeatConfig;
  readonly onChange: () => void;
  readonly onLost: (worker: string, reason: string) => void;
  readonly onAnswer: (worker: string, answer: PingAnswer) => void;
}

/**
 * A ping that was delivered just before its process died gets no answer at all. NATS says of the next one that there is
 * no responder. A worker that is only slow is not lost by this; its own registrations count as signs of life.
 */
function pingTimeoutMs({ pingIntervalMs, timeoutMs }: HeartbeatConfig): number {
  return Math.min(Math.max(2 * pingIntervalMs, PING_TIMEOUT_MS_MIN), timeoutMs / 4);
}

const PING_TIMEOUT_MS_MIN = 250;
const PLACES_MAX = 10_000;

export class WorkerRegistry {
  readonly #options: WorkerRegistryOptions;
  readonly #workers = new Map<string, Worker>();
  /** The places of workers, lost ones included. */
  readonly #places = new Map<string, string>();
  #closed = false;

  constructor(options: WorkerRegistryOptions) {
    this.#options = options;
  }

  register(registration: WorkerRegistration): void {
    const known = this.#workers.get(registration.worker);
    if (known !== undefined) {
      known.lastAnswerMs = this.#options.clock.elapsedMs();
      return;
    }
    const worker: Worker = {
      registration,
      lastAnswerMs: this.#options.clock.elapsedMs(),
      answer: undefined,
      silentOnce: false,
      timer: undefined,
    };
    this.#workers.set(registration.worker, worker);
    if (this.#places.size >= PLACES_MAX) this.#places.clear();
    this.#places.set(registration.worker, `pid ${registration.processId} on ${registration.host}`);
    this.#schedule(worker, 0);
    this.#options.onChange();
  }

  list(): readonly { readonly registration: WorkerRegistration; readonly answer: PingAnswer | undefined }[] {
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
    const place = this.#places.get(worker);
    return place === undefined ? worker : `${worker} (${place})`;
  }

  has(worker: string): boolean {
    return this.#workers.has(worker);
  }

  get slots(): number {
    return [...this.#workers.values()].reduce((sum, worker) => sum + worker.registration.slots, 0);
  }

  /**
   * Subtask i of every vertex goes to slot i; slots are dealt round robin over the workers, so that the load is even.
   * undefined when there are not enough.
   * @param kept where subtasks run that stay there, and with them their slots
   */
  place(
    vertices: readonly VertexPlan[],
    kept: { readonly [subtask: SubtaskName]: string },
  ): { [subtask: SubtaskName]: string } | undefined {
    const slots = Array.from(
      { length: Math.max(...vertices.map((vertex) => vertex.parallelism)) },
      (_, index) => vertices.map(({ id }) => kept[`${id}/${index}`]).find((worker) => worker !== undefined),
    );
    const free = [...this.#workers.values()]
      .map(({ registration: { worker, slots: offered } }) => ({
        worker,
        left: offered - slots.filter((taken) => taken === worker).length,
      }))
      .sort((a, b) => (a.worker < b.worker ? -1 : 1));
    while (slots.includes(undefined)) {
      const round = free.filter((worker) => worker.left > 0);
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

  async #ping(worker: Worker): Promise<void> {
    const { link, subjects, heartbeat } = this.#options;
    const id = worker.registration.worker;
    let answer: PingAnswer | undefined;
    let error: unknown;
    try {
      answer = await link.ask(
        subjects.workers(id),
        { type: "worker.ping" },
        shapes.pingAnswer,
        pingTimeoutMs(heartbeat),
      );
    } catch (caught) {
      error = caught;
    }
    if (this.#closed || this.#workers.get(id) !== worker) return;
    if (answer === undefined) {
      this.#unanswered(worker, error);
      return;
    }
    worker.lastAnswerMs = this.#options.clock.elapsedMs();
    worker.silentOnce = false;
    worker.answer = answer;
    this.#schedule(worker, heartbeat.pingIntervalMs);
    this.#options.onAnswer(id, answer);
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
    const { clock, heartbeat } = this.#options;
    if (isAbsent) return worker.silentOnce ? "nothing answers to its name: the process is gone" : undefined;
    return clock.elapsedMs() - worker.lastAnswerMs > heartbeat.timeoutMs
      ? `no answer for ${heartbeat.timeoutMs} ms: the process hangs or is cut off`
      : undefined;
  }

  /** It is gone, as a ping has found or as it says itself. */
  lose(id: string, reason: string): void {
    this.#workers.get(id)?.timer?.cancel();
    if (this.#closed || !this.#workers.delete(id)) return;
    this.#options.onLost(id, reason);
    this.#options.onChange();
  }
}
