/** Jobs around a machine of a test's own: records are its events. */
import type { AnyStateMachine } from "xstate";
import { ascendingTimestamps, defineJob, type Job, type JobOptions } from "../../../src/index.ts";
import { testSink, testSource } from "../connectors.ts";

export interface Ping {
  readonly key: string;
  readonly at: number;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** @param definition what is given to `machine` besides the machine */
export function pingJob(machine: AnyStateMachine, definition: object = {}, options: JobOptions = {}): Job {
  return defineJob("pings", options, (job) => {
    job
      .source<Ping>("events", testSource(), { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() })
      .keyBy(({ key }) => key)
      .machine("actors", { machine, ...definition } as never)
      .sink("out", testSink());
  });
}

export const ping = (type: string, at: number, more: object = {}): Ping => ({ key: "k", type, at, ...more });
