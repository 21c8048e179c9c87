/**
 * One case: a small job runs with a crash point in one of its processes, what was killed is replaced, the job ends, and
 * its output is that of an undisturbed run.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { PriceService } from "../../chaos/workloads/price-service.ts";
import type { Workload } from "../../chaos/workloads/workload.ts";
import { workloadOf } from "../../chaos/workloads/workloads.ts";
import { inputSubject } from "../../support/graphs/keyed-count.ts";
import { TestCluster } from "../../support/servers/cluster.ts";
import { bundled } from "../../support/servers/compiled.ts";
import type { TestProcess } from "../../support/servers/processes.ts";
import { Processes } from "../../support/servers/processes.ts";
import { publishAll, readAll, type StoredMessage } from "../../support/servers/streams.ts";
import { until } from "../../support/until.ts";
import type { ComponentAnswer, ComponentRequest, Place } from "./component.ts";
import { type FaultSpec, releaseFile, wokenFile } from "./fault-points.ts";

export interface CrashOutcome {
  /** How many of the crash points were reached. */
  readonly hits: number;
  readonly generations: number;
  /** The failures as the job record tells them. */
  readonly failures: string;
  readonly problems: readonly string[];
}

export interface CrashCase {
  readonly victim: "coordinator" | "worker";
  /** The job, by name. Default: the keyed count. */
  readonly workload?: string | undefined;
  /** Barriers overtake records. Default false. */
  readonly unaligned?: boolean;
  /** The second one is in the process that replaces the first victim. */
  readonly faults: readonly FaultSpec[];
  /** Default: what one checkpoint covers travels inline. */
  readonly transactions?: "inline" | "staged";
  /** The victim has two slots and is the only worker: it runs every subtask. */
  readonly alone?: boolean;
  /**
   * A sleeper wakes up as soon as its successor has raised the generation. Default: after that one's first decision.
   */
  readonly wakesEarly?: boolean;
  /** Called while what is held waits, and when it has been done. */
  readonly whileHeld?: () => Promise<void>;
  readonly afterHeld?: () => Promise<void>;
  /** No checkpoint but the final one. */
  readonly finalOnly?: boolean;
}

const RECORDS = 640;
const KEYS = 24;
const SPLITS = 2;
/** The least checkpoints of each generation, with records in each: what the latest crash points need, and some. */
const CHECKPOINTS_MIN = 8;
const OFTEN = { everyMs: 10 };
/** The length of timeouts of the engine that would heal a stuck job behind the back of the test. */
const NEVER_MS = 3_600_000;
const inputOf = ({ name }: Workload): string => `IN-${name}`;
const recordsOf = ({ load }: Workload): number => RECORDS / load;
const sizeOf = (workload: Workload) => ({ records: recordsOf(workload), keys: KEYS, splits: SPLITS });
/** The time in which a worker that sleeps is noticed: nothing but the heartbeat tells. */
const SLEEP_NOTICED_MS = 3000;

/** What the cases of one test file share: a server with inputs, and a process for everything that is not killed. */
export class CrashBench {
  readonly #url: string;
  readonly #nats: NatsEnvironment;
  readonly #service: PriceService;
  /** The jobs whose input is there. */
  readonly #fed = new Set<Workload>();
  readonly #directory: string;
  readonly #processes: Processes;
  readonly #host: Component;
  /** Started ahead: a new process takes half a second. */
  #spare: Component;
  #cases = 0;

  private constructor(url: string, nats: NatsEnvironment, directory: string, service: PriceService) {
    this.#url = url;
    this.#nats = nats;
    this.#directory = directory;
    this.#service = service;
    this.#processes = new Processes(directory);
    this.#host = this.#component("host");
    this.#spare = this.#component("victim-1");
  }

  static async open(url: string, nats: NatsEnvironment, directory: string): Promise<CrashBench> {
    return new CrashBench(url, nats, directory, await PriceService.start());
  }

  async #feed(workload: Workload): Promise<void> {
    if (this.#fed.has(workload)) return;
    this.#fed.add(workload);
    const stream = inputOf(workload);
    const manager = await jetstreamManager(this.#nats.connection, { checkAPI: false });
    await manager.streams.add({ name: stream, subjects: [inputSubject(stream, "*")] });
    const input = [...workload.input(sizeOf(workload))];
    await publishAll(
      this.#nats,
      input.map(({ split, text }) => ({ subject: inputSubject(stream, split), text })),
    );
  }

  async run(crashCase: CrashCase): Promise<CrashOutcome> {
    const number = ++this.#cases;
    const place = this.#placeOf(number, crashCase);
    const slots = crashCase.alone === true ? 2 : 1;
    await this.#feed(workloadOf(place.workload));
    const cluster = await this.#openCluster(place);
    const started: string[] = [];
    const host = async (role: "coordinator" | "worker"): Promise<void> => {
      const id = `${place.prefix}-${role}-${started.length}`;
      started.push(id);
      await this.#host.ask({ start: role, id, place, slots });
    };
    try {
      const { victim, faults } = crashCase;
      const hitFiles = faults.map((_, index) => join(this.#directory, `hit-${number}-${index}`));
      let first = this.#begin(victim, place, slots, faults[0]!, hitFiles[0]!);
      await host(victim === "coordinator" ? "worker" : "coordinator");
      if (crashCase.alone !== true) await host("worker");
      await first.ready;
      await this.#host.ask({ submit: place });
      for (const [index, fault] of faults.entries()) {
        const next = faults[index + 1];
        if (fault.when === "asleep")
          await this.#replaceSleeper(cluster, first.component, hitFiles[index]!, crashCase, () =>
            host(victim),
          );
        else if (fault.when === "held") await letGo(hitFiles[index]!, crashCase);
        else if (kills(fault)) {
          await within(first.component.process.exited, `the process with "${fault.point}" is killed`);
          if (next === undefined) await host(victim);
          else {
            first = this.#begin(victim, place, slots, next, hitFiles[index + 1]!);
            await first.ready;
          }
        }
      }
      const outcome = await this.#outcome(cluster, place, 0);
      await Promise.all(started.map((id) => this.#host.ask({ stop: id })));
      await first.component.process.kill();
      return { ...outcome, hits: hitFiles.filter((file) => existsSync(file)).length };
    } finally {
      await cluster.close();
    }
  }

  /**
   * A worker dies after subtasks were placed on it and before any worker was told: the record is written that slowly.
   */
  async runPlacedOnTheDead(): Promise<CrashOutcome> {
    const number = ++this.#cases;
    const place = this.#placeOf(number);
    await this.#feed(workloadOf(place.workload));
    const cluster = await this.#openCluster(place);
    const hitFile = join(this.#directory, `hit-${number}`);
    const ids = ["coordinator", "first", "second"].map((name) => `${place.prefix}-${name}`);
    const [coordinator, first, second] = ids as [string, string, string];
    try {
      const spec: FaultSpec = { when: "late", point: "store generation" };
      await this.#host.ask({ start: "coordinator", id: coordinator, place, fault: { spec, hitFile } });
      await this.#host.ask({ start: "worker", id: first, place });
      const victim = this.#takeSpare();
      await victim.ask({ start: "worker", id: `${place.prefix}-victim`, place });
      await this.#host.ask({ submit: place });
      await until("the generation is being raised", () => existsSync(hitFile), OFTEN);
      await victim.process.kill();
      await this.#host.ask({ start: "worker", id: second, place });
      const outcome = await this.#outcome(cluster, place, 1);
      await Promise.all(ids.map((id) => this.#host.ask({ stop: id })));
      return outcome;
    } finally {
      await cluster.close();
    }
  }

  async close(): Promise<void> {
    await this.#processes.killAll();
    this.#service.close();
  }

  /** Another process takes its place and the job goes on; then it wakes up and does what it was about to do. */
  async #replaceSleeper(
    cluster: TestCluster,
    sleeper: Component,
    hitFile: string,
    { wakesEarly = false }: CrashCase,
    replace: () => Promise<void>,
  ): Promise<void> {
    await until("the process falls asleep", () => existsSync(hitFile), OFTEN);
    const { generation } = await cluster.awaitRecord("the record is there", () => true);
    await replace();
    await cluster.awaitRecord(
      "the job goes on without it",
      (record) =>
        record.status === "finished" ||
        (wakesEarly ? record.generation : (record.checkpoints.at(-1)?.generation ?? 0)) > generation,
    );
    sleeper.process.resume();
    await until("the process has done it after all", () => existsSync(wokenFile(hitFile)), OFTEN);
  }

  #openCluster(place: Place): Promise<TestCluster> {
    return TestCluster.open({
      url: this.#url,
      directory: join(this.#directory, place.prefix),
      job: place.job.name,
      jobFile: "",
      prefix: place.prefix,
    });
  }

  async #outcome(cluster: TestCluster, place: Place, hits: number): Promise<CrashOutcome> {
    const { generation, failures } = await cluster.awaitRecord(
      "the job finishes",
      ({ status }) => status === "finished",
    );
    const reasons = failures.map(({ where, reason }) => `${where}: ${reason}`).join(" | ");
    const workload = workloadOf(place.workload);
    const asked = this.#service.askedBy(place.prefix);
    const problems = workload.check(sizeOf(workload), await this.#outputOf(place), asked).findings;
    return { hits, generations: generation, failures: reasons, problems };
  }

  #takeSpare(): Component {
    const component = this.#spare;
    this.#spare = this.#component(`victim-after-${this.#cases}`);
    component.process.expectExit();
    return component;
  }

  logsOf(name: string): string {
    return readFileSync(this.#processes.logFile(name), "utf8");
  }

  #begin(role: "coordinator" | "worker", place: Place, slots: number, spec: FaultSpec, hitFile: string) {
    const component = this.#takeSpare();
    const id = `${place.prefix}-victim`;
    const ready = component.ask({ start: role, id, place, slots, fault: { spec, hitFile } });
    // A victim may die while it starts: that is what was asked for.
    return { component, ready: Promise.race([ready, component.process.exited]).then(() => undefined) };
  }

  #component(name: string): Component {
    return new Component(
      this.#processes.start({ name, script: bundled("test/recovery/crashes/component.ts"), args: [] }),
    );
  }

  #placeOf(number: number, crashCase: Partial<CrashCase> = {}): Place {
    const { transactions = "inline", finalOnly = false, victim, faults = [], unaligned = false } = crashCase;
    const workload = workloadOf(crashCase.workload ?? "keyed-count");
    const sleeps = victim === "worker" && faults.some(({ when }) => when === "asleep");
    const prefix = `case${number}`;
    return {
      url: this.#url,
      prefix,
      workload: workload.name,
      job: {
        name: "disturbed",
        input: inputOf(workload),
        output: `OUT${number}`,
        splits: SPLITS,
        recordsPerSecond: 1200,
        ...(finalOnly ? {} : { recordsPerCheckpoint: recordsOf(workload) / SPLITS / CHECKPOINTS_MIN }),
        intervalMs: finalOnly ? NEVER_MS : 60,
        partMessagesMax: 15,
        ballastBytes: 200,
        paddingBytes: transactions === "staged" ? 4000 : 0,
        pingIntervalMs: 50,
        heartbeatTimeoutMs: sleeps ? SLEEP_NOTICED_MS : NEVER_MS,
        checkpointTimeoutMs: NEVER_MS,
        unaligned,
        service: this.#service.addressFor(prefix),
      },
    };
  }

  async #outputOf(place: Place): Promise<StoredMessage[]> {
    const messages = await readAll(this.#nats, place.job.output);
    return messages.filter(({ subject }) => !subject.startsWith("tidemark-marker."));
  }
}

/** It is done in the surroundings that the test has made meanwhile. */
async function letGo(hitFile: string, { whileHeld, afterHeld }: CrashCase): Promise<void> {
  await until("the process comes to the point", () => existsSync(hitFile), OFTEN);
  await whileHeld?.();
  writeFileSync(releaseFile(hitFile), "");
  await until("it is done", () => existsSync(wokenFile(hitFile)), OFTEN);
  await afterHeld?.();
}

const kills = ({ when }: FaultSpec): boolean => when === "before" || when === "after";

class Component {
  readonly process: TestProcess;
  readonly #waiting = new Map<string, (answer: ComponentAnswer) => void>();

  constructor(process: TestProcess) {
    this.process = process;
    process.onMessage((message) => {
      const answer = message as ComponentAnswer;
      this.#waiting.get("done" in answer ? answer.done : answer.failed)?.(answer);
    });
  }

  async ask(request: ComponentRequest): Promise<void> {
    const name = "start" in request ? request.id : "submit" in request ? "submit" : request.stop;
    const answered = new Promise<ComponentAnswer>((resolve) => {
      this.#waiting.set(name, resolve);
    });
    this.process.send(request);
    const answer = await within(answered, `answer to ${name}`);
    if ("failed" in answer) throw new Error(`${answer.failed}: ${answer.reason}`);
  }
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let value: { readonly of: T } | undefined;
  promise.then(
    (of) => {
      value = { of };
    },
    () => undefined,
  );
  return (await until(what, () => value, OFTEN)).of;
}
