/** Rules of checkpoints that have objects in common taken out (P81). */
import { droppedBy } from "../../../machines/record.ts";
import type { Bounds } from "../protocol/bounds.ts";
import { DELETED_TOO_EARLY, PENDING_IS_THERE } from "../protocol/holds/objects.ts";
import type { Memory } from "../protocol/leader/coordinator-memory.ts";
import type { WriteAnswer } from "../protocol/leader/records/record-writer.ts";
import { change } from "../protocol/memory.ts";
import type { Reroute } from "../protocol/variant.ts";
import { type ModelCheckpoint, objectsOf } from "../protocol/words.ts";
import { and } from "./hosts.ts";
import { type SeededBug, seeded } from "./seeded.ts";

/** Without a look at what the record reaches. */
const droppedGoesWhole: Reroute = (effect, proceed) => {
  if (effect.type !== "answer.request") return proceed();
  const { answer } = effect.params as unknown as { answer: WriteAnswer };
  if (answer.outcome !== "stored") return proceed();
  const names = (droppedBy(answer.before, answer.record) as ModelCheckpoint[]).flatMap(objectsOf);
  // Behind what the host finds out by itself.
  const gone = change<Memory>(({ deletable }) => ({ deletable: [...deletable, ...names] }));
  return and([gone], ...(proceed() ?? []));
};

const COMMON: Partial<Bounds> = {
  subtasks: { s: ["X"] },
  records: 0,
  incremental: true,
  objects: true,
};
const BESIDE: Partial<Bounds> = { ...COMMON, triggers: 3, maxConcurrent: 2 };

export const layerBugs: readonly SeededBug[] = [
  seeded({
    name: "base-not-held",
    rule: "P81, OR4",
    what: "Of two checkpoints that rest on the same one the first is decided, and what the second one rests on goes.",
    alters: { faults: { holdsNoBase: true } },
    bounds: BESIDE,
    foundBy: DELETED_TOO_EARLY,
  }),
  seeded({
    name: "base-held-for-ever",
    rule: "P81, OR4",
    what: "What a checkpoint may have rested on stays when that checkpoint is settled.",
    alters: { faults: { keepsBases: true } },
    bounds: { ...COMMON, goal: "clean" },
    foundBy: "goal",
  }),
  seeded({
    name: "rests-on-what-was-given-up",
    rule: "P81, YS1",
    what: "A snapshot rests on the latest one of its subtask, which may be that of a checkpoint that was given up.",
    alters: { faults: { restsOnLatest: true } },
    bounds: { ...BESIDE, triggers: 2, expiries: 1 },
    foundBy: PENDING_IS_THERE,
  }),
  seeded({
    name: "dropped-with-what-is-in-common",
    rule: "P81, OR1",
    what: "A checkpoint that the record drops takes with it what a newer one has in common with it.",
    alters: { coordinator: droppedGoesWhole },
    bounds: COMMON,
    foundBy: "C6 what the record names is readable",
    leavesOut: DELETED_TOO_EARLY,
  }),
];
