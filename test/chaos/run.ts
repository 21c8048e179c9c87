/**
 * One run: a small job on real processes, disturbed for a while, then left alone until it has finished, then judged.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import type { JobRecord } from "../../machines/protocol.ts";
import { inputSubject } from "../support/graphs/keyed-count.ts";
import { TestCluster } from "../support/servers/cluster.ts";
import { bundled } from "../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { publishAll, readAll, type StoredMessage } from "../support/servers/streams.ts";
import { checkDecisions, checkMarkers, checkRecords, checkWholeParts } from "./checkers.ts";
import { type FaultCounts, Faults } from "./disturbing/faults.ts";
import { Rescaler } from "./disturbing/rescales.ts";
import { Observer } from "./observer.ts";
import { randomFrom } from "./random.ts";
import { type ChaosReport, succeeded } from "./report.ts";
import { PriceService } from "./workloads/price-service.ts";
import type { InputMessage, Workload } from "./workloads/workload.ts";

export interface ChaosOptions {
  readonly workload: Workload;
  readonly seed: number;
  /** How long faults are injected. */
  readonly seconds: number;
  readonly coordinators?: number;
  readonly workers?: number;
  readonly keepLogs?: boolean;
  /** Where the workers keep keyed state. Default "heap". */
  readonly backend?: "heap" | "disk";
  /** A user rescales the job meanwhile. Default: no user does. */
  readonly rescale?: boolean;
  /** The workers keep copies of their state, and get their subtasks again. Default: they keep none. */
  readonly localRecovery?: boolean;
  readonly tell?: (line: string) => void;
}

const JOB = "chaos";
const SPLITS = 4;
const KEYS = 40;
const PARALLELISM = 2;
/** Those that a user rescales it to. */
const OTHER_PARALLELISMS = [1, 2, 3];
const RATE = 500;
/** What a job that is torn down all the time still gets done of what it could. */
const SHARE_DONE = 0.35;
const UNDER_WAY_MS = 1000;
/**
 * A process that sleeps longer is taken for dead. So is one that is only slow: that costs a restart, and nothing else.
 */
const SLEEP_NOTICED_MS = 3000;
/** How findings of records out of order begin. */
const OUT_OF_ORDER = "outOfOrder: ";
const NO_FAULTS: FaultCounts = { kills: 0, stops: 0, serverRestarts: 0, serverFreezes: 0 };

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const directory = mkdtempSync(join(tmpdir(), `tidemark-chaos-${options.seed}-`));
  const server = await startTestServer();
  const service = await PriceService.start();
  try {
    const report = await disturb(options, directory, server, service);
    if (succeeded(report) && options.keepLogs !== true) rmSync(directory, { recursive: true, force: true });
    else writeFileSync(join(directory, "report.json"), JSON.stringify(report, undefined, 2));
    return report;
  } finally {
    service.close();
    await server.stop();
  }
}

async function disturb(
  options: ChaosOptions,
  directory: string,
  server: TestServer,
  service: PriceService,
): Promise<ChaosReport> {
  const { seed, seconds, workload } = options;
  const rate = RATE / workload.load;
  const records = Math.ceil(seconds * rate * PARALLELISM * SHARE_DONE);
  const input = { records, keys: KEYS, splits: SPLITS };
  const unaligned = randomFrom(seed + 2).next() < 0.5;
  const story: string[] = [];
  const startedMs = performance.now();
  const tell = (line: string): void => {
    const text = `${((performance.now() - startedMs) / 1000).toFixed(2).padStart(7)} ${new Date().toISOString().slice(11, 23)} ${line}`;
    story.push(text);
    writeFileSync(join(directory, "story.txt"), `${story.join("\n")}\n`);
    options.tell?.(text);
  };
  const cluster = await TestCluster.open({
    url: server.url,
    directory,
    job: JOB,
    jobFile: bundled("test/chaos/jobs/workload.ts"),
    environment: {
      CHAOS_JOB: workload.name,
      CHAOS_RATE: String(rate),
      CHAOS_HEARTBEAT_TIMEOUT_MS: String(SLEEP_NOTICED_MS),
      CHAOS_UNALIGNED: String(unaligned),
      CHAOS_SERVICE: service.addressFor(JOB),
      // A few rows fit into so little memory.
      ...(options.backend === "disk" && {
        TIDEMARK_STATE_BACKEND: "disk",
        TIDEMARK_STATE_CACHE_SIZE: "1 KiB",
        TIDEMARK_STATE_DIRECTORY: join(directory, "state"),
      }),
      ...(options.localRecovery && {
        TIDEMARK_CHECKPOINTING_LOCAL_RECOVERY: "true",
        TIDEMARK_CHECKPOINTING_LOCAL_DIRECTORY: join(directory, "copies"),
      }),
    },
    logLevel: "debug",
  });
  const names = (role: string, count: number) => Array.from({ length: count }, (_, i) => `${role}-${i + 1}`);
  let faults: Faults | undefined;
  let observer: Observer | undefined;
  let rescaler: Rescaler | undefined;
  let finished = false;
  let finishedAfterMs = 0;
  const recoveriesMs: number[] = [];
  const findings: string[] = [];
  try {
    await provideInput(cluster, workload.input(input));
    faults = new Faults(
      {
        server,
        coordinators: names("coordinator", options.coordinators ?? 2),
        workers: names("worker", options.workers ?? 3),
        start: (name) => cluster.start(name.startsWith("worker") ? "worker" : "coordinator", name),
        tell,
      },
      randomFrom(seed),
    );
    await cluster.submit();
    observer = new Observer({ nats: cluster.nats, job: JOB, output: "OUT", directory });
    await cluster.awaitRecord("the job runs", (record) => record.checkpoints.length > 0);
    tell(`${workload.name}${unaligned ? ", unaligned," : ""} runs; ${records} records`);
    if (options.rescale)
      rescaler = new Rescaler({
        ...{ client: cluster.client, job: JOB, parallelisms: OTHER_PARALLELISMS, tell },
        random: randomFrom(seed + 3),
      });
    const healedMs = await disturbAndWatch(cluster, { faults, rescaler }, options, recoveriesMs);
    await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished");
    finished = true;
    finishedAfterMs = Math.round(performance.now() - healedMs);
    tell(`finished ${finishedAfterMs} ms after the last fault`);
  } catch (error) {
    findings.push(String(error));
    tell(String(error));
    const report = await cluster.report().catch(() => undefined);
    writeFileSync(join(directory, "status.json"), JSON.stringify(report ?? null, undefined, 2));
  }
  try {
    const last = await cluster.record();
    const messages = finished || last !== undefined ? await readAll(cluster.nats, "OUT") : [];
    await observer?.close();
    const output = messages.filter(({ subject }) => !isMarker(subject));
    const verdict = workload.check(input, output, service.askedBy(JOB));
    // What a barrier has overtaken on an edge without keys stays with its receiver, and the keys may go elsewhere.
    const mayReorder = unaligned && rescaler !== undefined;
    findings.push(...verdict.findings.filter((one) => !mayReorder || !one.startsWith(OUT_OF_ORDER)));
    if (observer !== undefined) findings.push(...judge(observer, messages, rescaler !== undefined));
    const crashes = cluster.processes.exits.filter((exit) => !exit.asked);
    const completed = new Set(
      observer?.records.flatMap(({ record }) => record.checkpoints.map(({ checkpointId }) => checkpointId)),
    );
    const expired = observer?.events.filter(
      (event) => event.role === "checkpoint" && event.event === "timer.fired",
    );
    for (const finding of findings) tell(`finding: ${finding}`);
    return {
      job: workload.name,
      unaligned,
      seed,
      seconds,
      records,
      ...(faults?.counts ?? NO_FAULTS),
      rescales: rescaler?.rescales ?? 0,
      recoveries: Math.max(0, (last?.generation ?? 0) - 1),
      checkpointsCompleted: completed.size,
      checkpointsExpired: expired?.length ?? 0,
      lost: verdict.lost,
      duplicated: verdict.duplicated,
      outOfOrder: mayReorder ? 0 : verdict.outOfOrder,
      wrong: verdict.wrong,
      crashes: crashes.length,
      finished,
      finishedAfterMs,
      peaces: recoveriesMs.length,
      recoveryMsMax: Math.max(0, ...recoveriesMs),
      markersSeen: observer?.markers.length ?? 0,
      findings,
      directory,
    };
  } finally {
    await cluster.close();
  }
}

/**
 * Faults, and in between long enough peace to see that the job goes on: each time another checkpoint must complete (C7,
 * e). Returns when the faults ended.
 */
async function disturbAndWatch(
  cluster: TestCluster,
  { faults, rescaler }: { readonly faults: Faults; readonly rescaler: Rescaler | undefined },
  { seconds, seed }: ChaosOptions,
  recoveriesMs: number[],
): Promise<number> {
  const random = randomFrom(seed + 1);
  const startedMs = performance.now();
  const leftMs = () => startedMs + seconds * 1000 - performance.now();
  const over = new AbortController();
  const isFinished = ({ status }: JobRecord): boolean => status === "finished";
  const watching = Promise.all([watch(), rescaler?.run(over.signal)]);
  for (;;) {
    await faults.run(Math.max(0, Math.min(leftMs(), random.between(5_000, 15_000))), over.signal);
    const mendedMs = performance.now();
    // What was under way may still complete although its generation is dead already.
    const afterMs = Date.now() + UNDER_WAY_MS;
    await cluster.awaitRecord(
      "a checkpoint completes after all is mended",
      (record) => isFinished(record) || (record.checkpoints.at(-1)?.completedAtMs ?? 0) > afterMs,
    );
    recoveriesMs.push(Math.round(performance.now() - mendedMs));
    if (!over.signal.aborted && leftMs() > 0) continue;
    over.abort();
    await watching;
    return mendedMs;
  }

  /** There is nothing to disturb any more when the job has ended. */
  async function watch(): Promise<void> {
    while (!over.signal.aborted) {
      const record = await cluster.record().catch(() => undefined);
      if (record !== undefined && isFinished(record)) over.abort();
      await sleep(50);
    }
  }
}

async function provideInput({ nats }: TestCluster, input: Iterable<InputMessage>): Promise<void> {
  const manager = await jetstreamManager(nats.connection, { checkAPI: false });
  await manager.streams.add({ name: "IN", subjects: ["in.*"] });
  const messages = function* () {
    for (const { split, text } of input) yield { subject: inputSubject("IN", split), text };
  };
  await publishAll(nats, messages());
}

const isMarker = (subject: string): boolean => subject.startsWith("tidemark-marker.");

function judge(observer: Observer, messages: readonly StoredMessage[], isRescaled: boolean): string[] {
  const { markers, records, events } = observer;
  const keyOf = ({ subject }: StoredMessage) => subject.slice(subject.lastIndexOf(".") + 1);
  const placement = { parallelisms: isRescaled ? OTHER_PARALLELISMS : [PARALLELISM], maxParallelism: 128 };
  return [
    ...checkWholeParts(messages, markers, isMarker, keyOf, placement),
    ...checkMarkers(markers),
    ...checkRecords(records),
    ...checkDecisions(records, markers, events),
  ];
}
