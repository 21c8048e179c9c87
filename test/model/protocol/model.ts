/**
 * The protocol as the checker explores it: the real machines of coordinators, subtasks and sink transactions,
 * composed as their hosts compose them, with everything around them modelled.
 *
 * Real: the machines job, checkpointing, checkpoint, request, restart, subtask, alignment and sink-transaction, their
 * wiring (machines/wiring.ts), machines/record.ts (what a leader may write, how a write of unknown outcome is
 * settled), src/dataflow/transaction-marker.ts (which writer may take a marker over).
 *
 * Modelled after src: the hosts (order of effects, actors that wait for a store, whose messages are heard), the
 * record's server and its one writer, the reaper of objects, sinks and their targets, workers that live on although
 * their leader believes them lost, several leaders at once.
 *
 * Small on purpose: a record is a position, a transaction the interval between two cuts, a manifest the positions and
 * open transactions that it restores. So a record that is lost or repeated leaves a gap or an overlap in a target's
 * log.
 *
 * Not modelled: leases (tokens are given; any coordinator may lead at any time, which is more than a lease allows),
 * time (a timer may fire whenever it is armed), parts of a transaction, how state is dealt out under another
 * parallelism (one subtask goes on from one other, whole), a change of leader beside a rescale (more states than can
 * be explored), incarnations and nonces (P1, P6: one life, stores that keep what they have acknowledged), channels
 * between processes (a worker plays the sources in front of its subtask's gate: worker/gate.ts), placement by slots,
 * missing or corrupt objects (C6 says that none is missing that the record names), resuming a suspended job, and
 * answers to reports, of which no machine takes any (P16).
 */
import type { JobRecord } from "../../../machines/protocol.ts";
import { checkpointingConfig, jobRecord } from "../../support/job-record.ts";
import { type CheckOptions, type CheckResult, check } from "../checker/checker.ts";
import type { ProcessModel } from "../process.ts";
import type { Bounds } from "./bounds.ts";
import { hasEnded, invariantsOf, isQuiet } from "./holds/invariants.ts";
import { isClean } from "./holds/objects.ts";
import { coordinatorProcess } from "./leader/coordinator.ts";
import { recordServer } from "./leader/records/record-server.ts";
import { placesIn, workersIn } from "./plans.ts";
import { targetServer } from "./target.ts";
import { theProtocol, type Variant } from "./variant.ts";
import { workerProcess } from "./worker/worker.ts";

export function checkProtocol(
  bounds: Bounds,
  variant: Variant = theProtocol,
  more: Partial<CheckOptions> = {},
): CheckResult {
  return check({
    processes: processesOf(bounds, variant),
    budgets: budgetsOf(bounds),
    ...invariantsOf(bounds),
    ...goalOf(bounds),
    ...more,
  });
}

function goalOf(bounds: Bounds): Pick<CheckOptions, "goal"> {
  const { goal, coordinators } = bounds;
  if (goal === undefined) return {};
  const workers = workersIn(bounds);
  if (goal === "ended") return { goal: hasEnded };
  const holds = goal === "quiet" ? isQuiet : isClean;
  return { goal: (view) => holds(view, coordinators, workers) };
}

function processesOf(bounds: Bounds, variant: Variant): ProcessModel[] {
  const record = submitted(bounds);
  return [
    recordServer(record, variant.faults.trustsTimeouts || bounds.rescaled !== undefined),
    ...placesIn(bounds).map((place) => targetServer(place, variant.target)),
    ...workersIn(bounds).map((worker) => workerProcess(worker, bounds, variant)),
    ...bounds.coordinators.map((id, index) => coordinatorProcess(id, index + 1, record, bounds, variant)),
  ] as ProcessModel[];
}

/** What may happen so often and no more, all leaders together. */
const BUDGETS = [
  "triggers",
  "losses",
  "expiries",
  "declines",
  "manifestFailures",
  "commitFailures",
  "deployTimeouts",
  "cancels",
  "suspends",
  "suspendTimeouts",
  "savepointFailures",
  "rescales",
] as const satisfies readonly (keyof Bounds)[];

function budgetsOf(bounds: Bounds): Record<string, number> {
  const costs = BUDGETS.map((name) => [name, bounds[name] ?? 0]);
  const crashes = Object.entries(bounds.crashes ?? {}).map(([process, amount]) => [
    `crashes.${process}`,
    amount,
  ]);
  return { ...Object.fromEntries(costs), ...Object.fromEntries(crashes), timeouts: 1 };
}

/** What the leader has accepted: no generation was deployed yet. */
function submitted(bounds: Bounds): JobRecord {
  const { periodic, restart, retained, maxConcurrent, tolerableFailures, savepointsWait, gate, incremental } =
    bounds;
  return jobRecord({
    generation: 0,
    generations: [],
    token: 0,
    writeId: "submitted",
    status: "created",
    reservedCheckpointId: 0,
    checkpointing: checkpointingConfig({
      intervalMs: periodic ? 1 : null,
      timeoutMs: 1,
      retained: retained ?? 1,
      maxConcurrent: maxConcurrent ?? 1,
      tolerableFailures: tolerableFailures ?? null,
      incremental: incremental ?? false,
      unaligned: savepointsWait ?? gate?.unaligned ?? false,
    }),
    restart: restart ?? { strategy: "fixed-delay", attempts: 5, delayMs: 0 },
  });
}
