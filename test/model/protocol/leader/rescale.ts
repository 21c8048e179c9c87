/**
 * Rescales of a modelled job, on its leader: the twin of src/runtime/leader/rescale/rescales.ts.
 *
 * One client asks for it, again and again under one name, whichever coordinator leads. How its leader finds the plan
 * and takes the checkpoint before it is left out: it is decided over the checkpoint that is the latest by then, or
 * refused.
 */
import type { RescaleChange } from "../../../../machines/leader/rescale.ts";
import { isPending } from "../../../../machines/leader/rescale.ts";
import { latestCheckpoint } from "../../../../machines/record.ts";
import type { CompositionState } from "../../composition.ts";
import type { ProcessOutcome } from "../../machine-process.ts";
import type { Event } from "../../process.ts";
import { leaves } from "../../pure-machine.ts";
import type { ToActor } from "../held-actors.ts";
import { nameOfPlan, planNamed } from "../plans.ts";
import type { Variant } from "../variant.ts";
import type { LeaderHost } from "./leader-host.ts";
import { WRITER, type WriterContext } from "./records/record-writer.ts";

const REQUEST = "rescale";

const writerOf = ({ actors }: CompositionState) => actors.get(WRITER)!.snapshot.context as WriterContext;

/** Whether the client would not be told at once what has become of it, or that it is refused. */
export function mayRescale(state: CompositionState, { faults }: Variant): boolean {
  const { record, queue } = writerOf(state);
  const isRecorded = record.rescale?.request === REQUEST && !faults.rescalesAgain;
  const isUnderWay = isPending(record) || queue.some(({ change }) => change.change === "rescale");
  if (isRecorded || isUnderWay || latestCheckpoint(record) === undefined) return false;
  if (nameOfPlan(record.plan) === "rescaled") return false;
  return leaves(state.actors.get("job")!.snapshot).includes("running.processing");
}

export function askToRescale(state: CompositionState): ToActor[] {
  const { record } = writerOf(state);
  const change: RescaleChange = {
    change: "rescale",
    request: REQUEST,
    plan: planNamed("rescaled"),
    completed: latestCheckpoint(record)!.checkpointId,
    atMs: 0,
  };
  return [{ actor: WRITER, event: { type: "change.requested", actor: "", change } as Event }];
}

/** A generation of the present plan runs. */
export function recovered(host: LeaderHost): ProcessOutcome[] {
  return isPending(host.record) ? host.change("", { change: "rescale-done" }) : [];
}

/** A generation has failed: the job goes back if none of the present plan has run yet. */
export function failed(host: LeaderHost, reason: string): ProcessOutcome[] {
  return isPending(host.record) ? host.change("", { change: "rescale-undone", reason, atMs: 0 }) : [];
}
