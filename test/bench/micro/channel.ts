/**
 * How fast are channels? A writer and a reader in two processes over a real nats-server, full and projected records,
 * against the local channel in one process, in the same run.
 *
 * Run compiled: `npx tsc -b && node dist/test/bench/micro/channel.js [rounds]`. Not measured: user functions, keyed
 * state, checkpoints, several channels at once. On a shared machine trust the ratios, not the numbers.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { connect } from "@nats-io/transport-node";
import type { Bus } from "../../../src/dataflow/channel/bus.ts";
import type { InputChannel, OutputChannel } from "../../../src/dataflow/channel/channel.ts";
import { createLocalChannel, DEFAULT_LOCAL_WINDOW } from "../../../src/dataflow/channel/local-channel.ts";
import { decodeRecords, FrameEncoder } from "../../../src/dataflow/channel/remote/frame-codec.ts";
import {
  createRemoteInput,
  createRemoteOutput,
  DEFAULT_REMOTE_WINDOW,
} from "../../../src/dataflow/channel/remote/remote-channel.ts";
import type { Timers } from "../../../src/dataflow/channel/remote/remote-line.ts";
import { createSubjects } from "../../../src/dataflow/channel/subjects.ts";
import { InputGate } from "../../../src/dataflow/input-gate.ts";
import { createEdgeOutput } from "../../../src/dataflow/output.ts";
import { NO_TIMESTAMP } from "../../../src/dataflow/source.ts";
import { NatsBus } from "../../../src/nats/connection/bus.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { ColumnDecoder } from "../../../src/state/snapshot/columns.ts";
import { startTimer } from "../../../src/timer.ts";
import { startTestServer } from "../../support/servers/nats.ts";

const systemTimers: Timers = { after: startTimer };

const TURN_MS = 1.5;
const ID = { edge: "bench", from: 0, to: 0 };

type Shape = "full" | "projected";

interface Run {
  readonly shape: Shape;
  readonly records: number;
  readonly framesMax: number;
  readonly generation: number;
}

/** 1024 different records: what a source would have decoded. */
function pool(shape: Shape): unknown[] {
  return Array.from({ length: 1024 }, (_, i) => {
    const user = `user-${(i * 7919) % 100_000}`;
    const amount = (i * 31) % 1000;
    if (shape === "projected") return { user, amount };
    return {
      id: 1_000_000 + i,
      user,
      type: ["view", "click", "purchase", "refund"][i % 4],
      amount,
      city: ["Amsterdam", "Berlin", "København", "Zürich"][i % 4],
      at: 1_780_000_000_000 + i * 17,
      session: `s-${i}`,
      agent: "Mozilla/5.0 (X11; Linux x86_64) Gecko",
    };
  });
}

/**
 * The part of a subtask's loop that matters here: turns of about a millisecond, then the event loop.
 * @param turn works until its end, in ms, and says whether it goes on behind the event loop
 * @returns begins the next turn, if none is about to begin
 */
function inTurns(turn: (endMs: number) => boolean): () => void {
  let scheduled = false;
  const schedule = () => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (turn(performance.now() + TURN_MS)) schedule();
    });
  };
  return schedule;
}

function write(channel: OutputChannel, shape: Shape, count: number): Promise<void> {
  const output = createEdgeOutput({
    partitioner: { kind: "forward" },
    channels: [channel],
    subtaskIndex: 0,
    maxParallelism: 128,
  });
  const values = pool(shape);
  let written = 0;
  return new Promise((resolve) => {
    const schedule = inTurns((endMs) => {
      while (written < count && output.hasRoom()) {
        for (let i = 0; i < 64 && written < count && output.hasRoom(); i++) {
          output.collect(values[written++ & 1023], NO_TIMESTAMP);
        }
        if (performance.now() > endMs) return true;
      }
      if (written < count) return false;
      output.broadcast({ kind: "endOfData" });
      resolve();
      return false;
    });
    output.onRoom(schedule);
    void output.opened().then(schedule);
  });
}

function read(channel: InputChannel): Promise<number> {
  const gate = new InputGate([channel]);
  let taken = 0;
  let sum = 0;
  return new Promise((resolve) => {
    const schedule = inTurns((endMs) => {
      for (let next = gate.nextFrame(); next !== undefined; next = gate.nextFrame()) {
        if (next.frame.kind === "records") {
          const { values } = next.frame;
          for (let i = 0; i < values.length; i++) sum += (values[i] as { amount: number }).amount;
          taken += values.length;
        } else if (gate.allEnded()) {
          resolve(sum < 0 ? 0 : taken);
          return false;
        }
        if (performance.now() > endMs) return true;
      }
      return false;
    });
    gate.onFrame(schedule);
    schedule();
  });
}

function options(bus: Bus, run: Run) {
  return {
    bus,
    id: ID,
    subjects: createSubjects().channel("bench", run.generation, ID),
    nonce: "n",
    inLoop: true,
    onStray: (_subject: string, why: string): never => {
      throw new Error(why);
    },
    timers: systemTimers,
    window: { ...DEFAULT_REMOTE_WINDOW, framesMax: run.framesMax },
    onFailure: (error: Error): never => {
      throw error;
    },
  };
}

/** The child process. */
async function writerProcess(url: string): Promise<void> {
  const connection = await connect({ servers: url });
  const bus = new NatsBus(new NatsEnvironment(connection, undefined));
  process.on("disconnect", () => process.exit());
  process.on("message", async (run: Run) => {
    const output = createRemoteOutput(options(bus, run));
    const before = process.cpuUsage();
    await write(output, run.shape, run.records);
    await bus.flush();
    const { user, system } = process.cpuUsage(before);
    process.send?.({ cpuMs: (user + system) / 1000 });
    setTimeout(() => output.close(), 500);
  });
  process.send?.("ready");
}

interface Result {
  readonly kRecordsPerSecond: number;
  readonly bytesPerRecord: number;
  readonly writerUs: number;
  readonly readerUs: number;
}

async function remoteRun(child: ReturnType<typeof fork>, url: string, run: Run): Promise<Result> {
  const connection = await connect({ servers: url });
  const bus = new NatsBus(new NatsEnvironment(connection, undefined));
  let bytes = 0;
  const counting = Object.assign(Object.create(bus) as Bus, {
    subscribe: (subject: string, handler: Parameters<Bus["subscribe"]>[1]) =>
      bus.subscribe(subject, (body, reply, of) => {
        bytes += body.length;
        handler(body, reply, of);
      }),
    publish: (subject: string, body: Uint8Array) => bus.publish(subject, body),
    connectedForMs: () => bus.connectedForMs(),
    onReconnect: (listener: () => void) => bus.onReconnect(listener),
  });
  const input = createRemoteInput(options(counting, run));
  await bus.flush();
  const writer = new Promise<{ cpuMs: number }>((resolve) => child.once("message", resolve));
  const cpuBefore = process.cpuUsage();
  const begin = performance.now();
  child.send(run);
  const taken = await read(input);
  const ms = performance.now() - begin;
  const { user, system } = process.cpuUsage(cpuBefore);
  const { cpuMs } = await writer;
  if (taken !== run.records) throw new Error(`${taken} of ${run.records} records arrived`);
  input.close();
  await connection.close();
  return {
    kRecordsPerSecond: taken / ms,
    bytesPerRecord: bytes / taken,
    writerUs: (cpuMs * 1000) / taken,
    readerUs: (user + system) / taken,
  };
}

async function localRun(shape: Shape, records: number, recordsMax: number): Promise<number> {
  const { output, input } = createLocalChannel({ ...DEFAULT_LOCAL_WINDOW, recordsMax });
  const begin = performance.now();
  const reading = read(input);
  void write(output, shape, records);
  await reading;
  return records / (performance.now() - begin);
}

/** K records/s of the codec alone, frames of 32 KiB or 1024 records. */
function codecRun(shape: Shape): { encode: number; decode: number } {
  const values = pool(shape).slice(0, shape === "full" ? 256 : 1024);
  const encoder = new FrameEncoder();
  const rounds = 400;
  let begin = performance.now();
  let message = encoder.records(1, values, undefined);
  for (let i = 0; i < rounds; i++) message = encoder.records(1, values, undefined);
  const encode = (rounds * values.length) / (performance.now() - begin);
  const columns = new ColumnDecoder();
  begin = performance.now();
  for (let i = 0; i < rounds; i++) decodeRecords(message, columns);
  return { encode, decode: (rounds * values.length) / (performance.now() - begin) };
}

function report(name: string, runs: readonly number[], unit = "K records/s"): void {
  const sorted = [...runs].sort((a, b) => a - b);
  const show = (value: number) => (value < 100 ? value.toFixed(2) : Math.round(value).toString());
  console.log(
    `${name.padEnd(44)} median ${show(sorted[sorted.length >> 1]!).padStart(6)}  (${show(sorted[0]!)} to ${show(sorted.at(-1)!)}) ${unit}`,
  );
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 3);
  const server = await startTestServer();
  const child = fork(fileURLToPath(import.meta.url), ["--writer", server.url]);
  await new Promise((resolve) => child.once("message", resolve));
  const results = new Map<string, number[]>();
  const note = (name: string, value: number) => {
    results.set(name, [...(results.get(name) ?? []), value]);
  };
  let generation = 0;
  for (let round = -1; round < rounds; round++) {
    const keep = round >= 0 ? note : () => {};
    for (const shape of ["full", "projected"] as const) {
      for (const framesMax of [16, 64, 128]) {
        const records = shape === "full" ? 400_000 : 1_000_000;
        const result = await remoteRun(child, server.url, {
          shape,
          records,
          framesMax,
          generation: ++generation,
        });
        keep(`remote, ${shape}, window ${framesMax}`, result.kRecordsPerSecond);
        keep(`  bytes a record, ${shape}`, result.bytesPerRecord);
        keep(`  writer CPU us a record, ${shape}`, result.writerUs);
        keep(`  reader CPU us a record, ${shape}`, result.readerUs);
      }
      const codec = codecRun(shape);
      keep(`codec alone, encode, ${shape}`, codec.encode);
      keep(`codec alone, decode, ${shape}`, codec.decode);
    }
    for (const recordsMax of [1024, 4096, 8192, 65_536]) {
      keep(`local, ${recordsMax} records of window`, await localRun("full", 5_000_000, recordsMax));
    }
  }
  for (const [name, values] of results) {
    report(name, values, name.includes("bytes") ? "B" : name.includes("CPU") ? "us" : undefined);
  }
  child.disconnect();
  await server.stop();
}

if (process.argv[2] === "--writer") await writerProcess(process.argv[3]!);
else await main();
