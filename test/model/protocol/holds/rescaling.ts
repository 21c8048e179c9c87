/** What must hold of rescales (P95). */
import type { Invariant } from "../../checker/checker.ts";
import type { CompositionState } from "../../composition.ts";
import type { Bounds } from "../bounds.ts";
import type { RecordState } from "../leader/records/record-server.ts";
import { memoryOf } from "../memory.ts";
import { placeOf, planAt, subtasksIn, workersIn } from "../plans.ts";
import { RECORD, type Snapshots } from "../words.ts";
import type { WorkerMemory } from "../worker/worker-host.ts";

export const DECIDED_ONCE = "P95 a rescale is decided once";
const OF_ITS_PLAN = "P95 a generation is that of its plan";

export function rescaleInvariants(bounds: Bounds): Readonly<Record<string, Invariant>> {
  return {
    [DECIDED_ONCE]: (view) => {
      const rescales = view.local<RecordState>(RECORD)?.rescales ?? [];
      const twice = rescales.find((request, index) => rescales.indexOf(request) !== index);
      return twice && `the rescale ${twice} is decided again`;
    },
    [OF_ITS_PLAN]: (view) => {
      const { plans = [] } = view.local<RecordState>(RECORD) ?? {};
      for (const worker of workersIn(bounds)) {
        const process = view.local<CompositionState>(worker);
        const deployment = process && memoryOf<WorkerMemory>(process).deployment;
        if (!deployment) continue;
        const { generation, subtask } = deployment;
        const plan = planAt(plans, generation);
        if (!(subtask in subtasksIn(bounds, plan)))
          return `${subtask} runs on ${worker} in generation ${generation}, which is of the ${plan} plan`;
      }
      return undefined;
    },
  };
}

const byPlace = new WeakMap<RecordState, RecordState>();

/** What is decided, by the places that subtasks read and write. */
export function placed(record: RecordState, bounds: Bounds): RecordState {
  const known = byPlace.get(record) ?? {
    ...record,
    decided: record.decided.map((one) => ({ ...one, snapshots: renamed(one.snapshots, bounds) })),
  };
  byPlace.set(record, known);
  return known;
}

function renamed(snapshots: Snapshots, bounds: Bounds): Snapshots {
  return Object.fromEntries(
    Object.entries(snapshots).map(([subtask, snapshot]) => [placeOf(bounds, subtask), snapshot]),
  );
}
