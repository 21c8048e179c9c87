/**
 * Requests to a service that fails at times, in each of the three orders. What is `unordered` goes on into windows of
 * event time: no result may be late there. Records that have no price come out at the side.
 */
import { defineJob, type FailedRequest, type Stream, tumblingWindows } from "../../../src/index.ts";
import { checkRows, type ExpectedRow, type Row } from "../verdict.ts";
import { hasPrice, priceOf, type ServiceLog } from "./price-service.ts";
import {
  jobOptionsOf,
  recordsByKey,
  rowsOf,
  sinkRows,
  type TimedRecord,
  timedInput,
  timedRecords,
  timedSource,
  type Workload,
  type WorkloadOptions,
} from "./workload.ts";

const MODES = ["ordered", "unordered", "perKey"] as const;
type Mode = (typeof MODES)[number];

const GIVE_UP_MS = 500;
const ATTEMPTS_MAX = 100;
const WINDOW_MS = 1000;

interface Priced {
  readonly key: string;
  readonly n: number;
  readonly price: number;
}

class NoPriceError extends Error {}

async function askFor(address: string, id: string, signal: AbortSignal): Promise<Priced> {
  // A signal of AbortSignal.timeout that only AbortSignal.any refers to may be collected before it fires.
  const giveUp = new AbortController();
  const timeout = setTimeout(() => giveUp.abort(), GIVE_UP_MS);
  const abort = (): void => giveUp.abort();
  signal.addEventListener("abort", abort);
  try {
    const response = await fetch(address, { headers: { "idempotency-key": id }, signal: giveUp.signal });
    const text = await response.text();
    if (response.status === 404) throw new NoPriceError(text);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return JSON.parse(text) as Priced;
  } finally {
    clearTimeout(timeout);
    signal.removeEventListener("abort", abort);
  }
}

function priced(records: Stream<TimedRecord>, mode: Mode, service: string) {
  return records
    .keyBy(({ key }) => key)
    .async(mode, {
      request: ({ key, n }, { id, signal }) => askFor(`${service}/${mode}/${key}/${n}`, id, signal),
      mode,
      capacity: 16,
      timeout: "1 h",
      retries: {
        attempts: ATTEMPTS_MAX,
        delay: 5,
        maxDelay: 50,
        when: (error) => !(error instanceof NoPriceError),
      },
      onFailure: "sideOutput",
    });
}

function requestsJob(options: WorkloadOptions) {
  const { service } = options;
  if (service === undefined) throw new Error("the job needs the address of its service");
  return defineJob(options.name, jobOptionsOf(options), (job) => {
    const records = timedSource(job, "read", options);
    const [ordered, unordered, perKey] = MODES.map((mode) => priced(records, mode, service));
    const rowsIn = (mode: Mode, stream: Stream<Priced>): Stream<Row> =>
      stream.map(`${mode}-rows`, ({ key, n, price }) => ({ branch: mode, key, of: n, value: price }));
    const failedIn = (mode: Mode, stream: Stream<FailedRequest<TimedRecord>>): Stream<Row> =>
      stream.map(`${mode}-failed`, ({ value: { key, n } }) => ({
        branch: `${mode}-failed`,
        key,
        of: n,
        value: null,
      }));
    const windows = unordered!
      .keyBy(({ key }) => key)
      .window(tumblingWindows({ size: WINDOW_MS }))
      .process("priced", (all, { key, window }): Row => {
        const numbers = all.map(({ n }) => n).sort((a, b) => a - b);
        const sum = all.reduce((so, { price }) => so + price, 0);
        return { branch: "unordered", key, of: window.start, value: { numbers, sum } };
      });
    sinkRows(
      windows.union(
        rowsIn("ordered", ordered!),
        rowsIn("perKey", perKey!),
        failedIn("ordered", ordered!.sideOutput("failed")),
        failedIn("unordered", unordered!.sideOutput("failed")),
        failedIn("perKey", perKey!.sideOutput("failed")),
      ),
      options,
    );
  });
}

function* expectedOf(key: string, records: readonly TimedRecord[]): Generator<ExpectedRow> {
  const windows = new Map<number, { numbers: number[]; sum: number }>();
  for (const { n, at } of records) {
    if (!hasPrice(n)) {
      for (const mode of MODES) yield { branch: `${mode}-failed`, key, of: n, value: null };
      continue;
    }
    const value = priceOf(key, n);
    yield { branch: "ordered", key, of: n, value, rank: n };
    yield { branch: "perKey", key, of: n, value, rank: n };
    const start = Math.floor(at / WINDOW_MS) * WINDOW_MS;
    const { numbers, sum } = windows.get(start) ?? { numbers: [], sum: 0 };
    windows.set(start, { numbers: [...numbers, n], sum: sum + value });
  }
  for (const [start, value] of windows) yield { branch: "unordered", key, of: start, value, rank: start };
}

function* expected(records: number, keys: number): Generator<ExpectedRow> {
  for (const [key, ofKey] of recordsByKey(timedRecords(records, keys))) yield* expectedOf(key, ofKey);
}

/** Each record has one id in each order, and no two have the same. */
export function checkIds(asked: ServiceLog): string[] {
  const findings: string[] = [];
  const requestOf = new Map<string, string>();
  for (const [request, ids] of asked) {
    if (ids.size > 1) findings.push(`${request} was asked for under ${ids.size} ids: ${[...ids].join()}`);
    for (const id of ids) {
      const other = requestOf.get(id);
      if (other !== undefined) findings.push(`${request} and ${other} were asked for under one id: ${id}`);
      requestOf.set(id, request);
    }
  }
  return findings;
}

export const requests: Workload = {
  name: "requests",
  load: 4,
  job: requestsJob,
  input: timedInput,
  check({ records, keys }, output, asked) {
    const judgement = checkRows(expected(records, keys), rowsOf(output));
    judgement.add(checkIds(asked));
    return judgement;
  },
};
