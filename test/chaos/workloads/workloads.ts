/** All jobs that are disturbed, by name. */
import { actors } from "./actors.ts";
import { joins } from "./joins.ts";
import { keyedCount } from "./keyed-count.ts";
import { requests } from "./requests.ts";
import { rules } from "./rules.ts";
import { timers } from "./timers.ts";
import { windows } from "./windows.ts";
import type { Workload } from "./workload.ts";

export const WORKLOADS: readonly Workload[] = [keyedCount, windows, timers, requests, joins, rules, actors];

/** @throws Error that names the ones there are */
export function workloadOf(name: string): Workload {
  const found = WORKLOADS.find((workload) => workload.name === name);
  if (found !== undefined) return found;
  throw new Error(`there is no job "${name}", but ${WORKLOADS.map((workload) => workload.name).join(", ")}`);
}
