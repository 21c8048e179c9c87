/**
 * One run: a job on real processes is fed while a stranger talks into all that they say, then it is drained, and its
 * output is held against its input.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream } from "@nats-io/jetstream";
import { randomFrom } from "../chaos/random.ts";
import { inputRecords, inputSubject, splitOf } from "../support/graphs/keyed-count.ts";
import { TestCluster } from "../support/servers/cluster.ts";
import { bundled } from "../support/servers/compiled.ts";
import { startTestServer } from "../support/servers/nats.ts";
import { readAll, type StoredMessage } from "../support/servers/streams.ts";
import { WAIT_BOUND_MS } from "../support/suite/patience.ts";
import { GiveUpError, until } from "../support/until.ts";
import { INPUT, JOB, judge, LAPS_OUTPUT, OUTPUT, SPLITS, type Verdict } from "./counting.ts";
import { Watched } from "./measures.ts";
import { Stranger } from "./stranger.ts";

export interface FuzzOptions {
  readonly seed: number;
  /** How long the stranger talks. */
  readonly seconds: number;
  /** Only the kinds of messages whose name has this text. */
  readonly only?: string | undefined;
  readonly keepLogs?: boolean;
  readonly tell?: (line: string) => void;
}

export interface FuzzReport {
  readonly seed: number;
  readonly seconds: number;
  /** What the job has read. */
  readonly records: number;
  /** What the stranger has sent, and how much of each kind. */
  readonly messages: number;
  readonly kinds: { readonly [kind: string]: number };
  readonly lost: number;
  readonly duplicated: number;
  readonly wrong: number;
  /** New generations of the job. */
  readonly restarts: number;
  /** Processes that ended. */
  readonly crashes: number;
  /** Lines that all processes together have logged while the stranger talked. */
  readonly logLines: number;
  /** The most memory of a process while the stranger talked; and how much that was above its calm, at most. */
  readonly rssMbMax: number;
  readonly rssMbAboveCalm: number;
  /** What is not as it should be, in words. */
  readonly findings: readonly string[];
  /** What the stranger sent last. */
  readonly last: readonly string[];
  /** Logs of all processes, story, and all that was sent; removed when all is well. */
  readonly directory: string;
}

const KEYS = 40;
const RECORDS_PER_SECOND = 400;
const MESSAGES_PER_SECOND = 200;
const FEED_EVERY_MS = 25;
const NAMES = ["coordinator-1", "worker-1", "worker-2"];
const ASK_EVERY_MS = 1000;
const CHECKPOINT = { job: JOB, kind: "checkpoint", directory: null, followedBy: "go-on" } as const;
const SAVEPOINTS = "nats:fuzz-savepoints";
/** What a run may come to. Each minute that has begun counts. */
const RESTARTS_A_MINUTE_MAX = 2;
const LOG_LINES_A_MINUTE_MAX = 50;
const RSS_MB_ABOVE_CALM_MAX = 100;

export async function runFuzz(options: FuzzOptions): Promise<FuzzReport> {
  const directory = mkdtempSync(join(tmpdir(), `tidemark-fuzz-${options.seed}-`));
  const server = await startTestServer();
  try {
    const report = await new Run(options, directory, server.url).report();
    if (report.findings.length === 0 && options.keepLogs !== true)
      rmSync(directory, { recursive: true, force: true });
    else writeFileSync(join(directory, "report.json"), JSON.stringify(report, undefined, 2));
    return report;
  } finally {
    await server.stop();
  }
}

class Run {
  readonly #options: FuzzOptions;
  readonly #directory: string;
  readonly #url: string;
  readonly #story: string[] = [];
  readonly #findings: string[] = [];
  #isFed = false;

  constructor(options: FuzzOptions, directory: string, url: string) {
    this.#options = options;
    this.#directory = directory;
    this.#url = url;
  }

  async report(): Promise<FuzzReport> {
    const { seed, seconds, only } = this.#options;
    const directory = this.#directory;
    const cluster = await TestCluster.open({
      ...{ url: this.#url, directory, job: JOB, jobFile: bundled("test/fuzz/jobs/fuzzed.ts") },
    });
    let stranger: Stranger | undefined;
    try {
      await (await cluster.nats.manager()).streams.add({ name: INPUT, subjects: ["in.*"] });
      const watched = new Watched(cluster, NAMES, (line) => this.#tell(line));
      await cluster.submit();
      await cluster.awaitRecord("the job runs", ({ checkpoints }) => checkpoints.length > 0);
      stranger = await Stranger.connect({
        ...{ url: this.#url, random: randomFrom(seed), job: JOB, only, directory },
      });
      await this.#anotherLife(cluster);
      const feeding = this.#feed(cluster);
      const calmRss = await watched.rssMbMax(after(Math.min(10, 2 + seconds / 4)));
      const before = await cluster.record();
      const linesBefore = watched.logLines().length;
      this.#tell("the stranger begins");
      const isOver = after(seconds);
      const [rss] = await Promise.all([
        watched.rssMbMax(isOver),
        stranger.talk(MESSAGES_PER_SECOND, isOver),
        this.#watch(cluster, isOver),
        this.#ask(cluster, isOver),
      ]);
      this.#tell(`the stranger ends; ${stranger.messages} messages`);
      const lines = watched.logLines().slice(linesBefore);
      this.#isFed = true;
      await feeding;
      await this.#drain(cluster);
      const last = await cluster.record();
      watched.end();
      const messages = await this.#read(cluster);
      const verdict = judge(messages);
      const above = [...rss].map(([name, mb]) => mb - (calmRss.get(name) ?? 0));
      const measured = {
        ...{ lost: verdict.lost, duplicated: verdict.duplicated, wrong: verdict.wrong },
        restarts: (last?.generation ?? 0) - (before?.generation ?? 0),
        crashes: watched.crashes(),
        logLines: lines.length,
        rssMbMax: Math.max(...rss.values()),
        rssMbAboveCalm: Math.max(...above),
      };
      this.#judge(measured, verdict, lines);
      for (const finding of this.#findings) this.#tell(`finding: ${finding}`);
      return {
        ...{ seed, seconds, records: messages[INPUT]!.length },
        ...{ messages: stranger.messages, kinds: stranger.counts, ...measured },
        ...{ findings: this.#findings, last: stranger.last, directory },
      };
    } finally {
      this.#isFed = true;
      await stranger?.close();
      await cluster.close();
    }
  }

  /** The stranger hears all that can be asked of a job; the job goes on in another life, where it means nothing. */
  async #anotherLife(cluster: TestCluster): Promise<void> {
    const { client } = cluster;
    await client.snapshot({ ...CHECKPOINT, request: "first" });
    await client.collect(JOB, "first");
    await client.dispose(JOB, "job", "first").catch(() => undefined);
    await client.suspend(JOB);
    await cluster.awaitRecord("suspended", ({ status }) => status === "suspended");
    await cluster.submit();
    await until("the job runs again", async () => (await cluster.report())?.phase === "running.processing");
  }

  /** What users ask meanwhile is answered. */
  async #ask(cluster: TestCluster, isOver: () => boolean): Promise<void> {
    for (let nth = 0; !isOver(); nth++) {
      const request = `asked-${nth}`;
      try {
        if (nth % 2 === 0) await cluster.client.snapshot({ ...CHECKPOINT, request });
        else await cluster.client.collect(JOB, request);
      } catch (error) {
        this.#findings.push(`what a user has asked for was not done: ${error}`);
      }
      await sleep(ASK_EVERY_MS);
    }
  }

  /** Tells of each new generation and failure, as it comes. */
  async #watch(cluster: TestCluster, isOver: () => boolean): Promise<void> {
    let generation: number | undefined;
    while (!isOver()) {
      const record = await cluster.record().catch(() => undefined);
      if (record !== undefined && record.generation !== (generation ?? record.generation)) {
        const { where, reason } = record.failures.at(-1) ?? { where: "", reason: "no failure" };
        this.#tell(`generation ${record.generation}, ${record.status}; ${where}: ${reason}`);
      }
      generation = record?.generation ?? generation;
      await sleep(FEED_EVERY_MS * 4);
    }
  }

  /** The whole input, one record after the other at an even rate, until the run is over. */
  async #feed({ nats }: TestCluster): Promise<void> {
    const client = jetstream(nats.connection, { timeout: WAIT_BOUND_MS });
    const records = inputRecords(Number.POSITIVE_INFINITY, KEYS);
    let pending: Promise<unknown>[] = [];
    let fedMs = performance.now();
    let due = 0;
    while (!this.#isFed) {
      await sleep(FEED_EVERY_MS);
      due += ((performance.now() - fedMs) * RECORDS_PER_SECOND) / 1000;
      fedMs = performance.now();
      for (; due >= 1; due--) {
        const record = records.next().value!;
        const published = client.publish(
          inputSubject(INPUT, splitOf(record, SPLITS)),
          JSON.stringify(record),
        );
        pending.push(published);
      }
      await Promise.all(pending);
      pending = [];
    }
  }

  /** The end of the job: all of its input is processed, and all of its output committed. */
  async #drain(cluster: TestCluster): Promise<void> {
    try {
      await until("the job runs", async () => {
        const report = await cluster.report();
        if (report?.status === "failed") throw new GiveUpError("the job has failed for good");
        return report?.phase === "running.processing";
      });
      await this.#allIsWritten(cluster);
      await cluster.drain(randomUUID(), SAVEPOINTS);
    } catch (error) {
      this.#findings.push(String(error));
      const report = await cluster.report().catch(() => undefined);
      writeFileSync(join(this.#directory, "status.json"), JSON.stringify(report ?? null, undefined, 2));
    }
  }

  /** Draining ends sources where they are: what is to be read has to be read before. */
  async #allIsWritten({ nats }: TestCluster): Promise<void> {
    const manager = await nats.manager();
    const recordsIn = async (stream: string, filter: string): Promise<number> => {
      const { state } = await manager.streams.info(stream, { subjects_filter: filter });
      return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
    };
    const fed = await recordsIn(INPUT, "in.*");
    let last = "";
    await until(
      "the output of all input",
      async () => {
        const counts = [await recordsIn(OUTPUT, "out.>"), await recordsIn(LAPS_OUTPUT, "laps.>")];
        last = `${counts.join(" and ")} of ${fed}`;
        return counts.every((count) => count >= fed);
      },
      { everyMs: 100, describe: () => last },
    );
  }

  async #read({ nats }: TestCluster): Promise<{ readonly [stream: string]: readonly StoredMessage[] }> {
    return {
      [INPUT]: await readAll(nats, INPUT),
      [OUTPUT]: await readAll(nats, OUTPUT),
      [LAPS_OUTPUT]: await readAll(nats, LAPS_OUTPUT),
    };
  }

  #judge(measured: Measured, { findings }: Verdict, lines: readonly string[]): void {
    const minutes = Math.ceil(this.#options.seconds / 60);
    const bars: readonly (readonly [number, number, string])[] = [
      [measured.lost, 0, "records were lost"],
      [measured.duplicated, 0, "records were duplicated"],
      [measured.wrong, 0, "records were wrong"],
      [measured.crashes, 0, "processes have ended"],
      [measured.restarts, RESTARTS_A_MINUTE_MAX * minutes, "restarts"],
      [measured.logLines, LOG_LINES_A_MINUTE_MAX * minutes, "lines were logged"],
      [measured.rssMbAboveCalm, RSS_MB_ABOVE_CALM_MAX, "MB more than in the calm"],
    ];
    for (const [is, most, what] of bars)
      if (is > most) this.#findings.push(`${is} ${what}, at most ${most} may be`);
    this.#findings.push(...findings);
    if (measured.logLines > LOG_LINES_A_MINUTE_MAX * minutes)
      writeFileSync(join(this.#directory, "lines.txt"), `${lines.join("\n")}\n`);
  }

  #tell(line: string): void {
    const text = `${new Date().toISOString().slice(11, 23)} ${line}`;
    this.#story.push(text);
    writeFileSync(join(this.#directory, "story.txt"), `${this.#story.join("\n")}\n`);
    this.#options.tell?.(text);
  }
}

type Measured = Pick<
  FuzzReport,
  "lost" | "duplicated" | "wrong" | "restarts" | "crashes" | "logLines" | "rssMbMax" | "rssMbAboveCalm"
>;

function after(seconds: number): () => boolean {
  const untilMs = performance.now() + seconds * 1000;
  return () => performance.now() >= untilMs;
}
