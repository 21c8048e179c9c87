/**
 * Windows that lie the same for all keys: which of the two ways to run them an operator takes.
 *
 * Its states are rows of keyed state, so they go with their key groups, and are restored like any other.
 */
import { invariant } from "../../../../errors.ts";
import { type StateDescriptors, stateTable } from "../../../../state/descriptor.ts";
import type { EventTime } from "../../../time/event-time.ts";
import type { OperatorKind, OperatorServices, Outputs } from "../../contract.ts";
import { type Combine, type Joins, keyOfAccumulator, mergingOf } from "../../keyed/combine.ts";
import { stableKey } from "../../keyed/key-selector.ts";
import { Accumulators, type Contents, type ContentsOptions, PANES, RECORDS, Records } from "../contents.ts";
import { type FinishableWindows, finishableDetails } from "../definition.ts";
import { withFormer } from "../former/migrating-windows.ts";
import { LateRecords } from "../late-records.ts";
import { openInTime, type TimedWindows } from "../processing-time-windows.ts";
import { WindowOutput } from "../window-output.ts";
import type { AlignedWindows } from "./assigner.ts";
import { FIRED } from "./fired-marks.ts";
import { PanedWindows } from "./paned.ts";
import { SinglePaneWindows } from "./single-pane.ts";
import { FIRINGS } from "./staying-panes.ts";

export interface AlignedWindowDefinition extends FinishableWindows {
  readonly windows: AlignedWindows;
}

export const alignedWindow: OperatorKind<AlignedWindowDefinition> = {
  name: "window",
  describe: (definition) => ({
    ...finishableDetails(definition, statesOf(definition), keepsRecords(definition)),
    ...(definition.combine !== undefined && { combine: combineOf(definition, definition.combine) }),
    mayCombine: mayCombine(definition),
    // What is chained in front of it would hand on records.
    ...(definition.combine === "accumulators" && { beginsVertex: true }),
  }),
  open: (definition, services, outputs) =>
    openInTime(definition, services, (time) => openAt(definition, services, outputs, time)),
};

function mayCombine({ aggregation, combine, lateTag }: AlignedWindowDefinition): boolean {
  return aggregation?.merge !== undefined && combine === undefined && lateTag === undefined;
}

/** By the clock, records that travel together come to the same window. */
function combineOf({ aggregation, time, windows }: AlignedWindowDefinition, kind: Joins["kind"]): Combine {
  invariant(aggregation !== undefined, "only what is aggregated can be combined");
  const joins: Joins = kind === "records" ? { kind, reduce: aggregation.add } : { kind, aggregation };
  return { joins, ...(time === "event" && { panes: windows }) };
}

/** The definition for what comes out of the exchange. */
function receiving(definition: AlignedWindowDefinition): AlignedWindowDefinition {
  const { aggregation, combine } = definition;
  if (combine !== "accumulators" || aggregation === undefined) return definition;
  return { ...definition, key: keyOfAccumulator, aggregation: mergingOf(aggregation) };
}

function openAt(
  definition: AlignedWindowDefinition,
  services: OperatorServices,
  outputs: Outputs,
  time: EventTime,
): TimedWindows {
  const { id, checks, former, keyedState } = services;
  const { windows, process, allowedLateness, lateTag } = definition;
  const receiver = receiving(definition);
  const state = keyedState();
  const lateOutput = lateTag === undefined ? undefined : outputs.tagged(lateTag);
  const options = { operator: id, state, checks };
  const keyOf = stableKey(id, receiver.key, checks);
  const parts = {
    operator: id,
    keyOf,
    windows,
    state,
    time,
    contents: contentsOf(receiver, options),
    late: new LateRecords({ services, time, keyOf, state, output: lateOutput }),
    output: new WindowOutput({ operator: id, outputs, state, process }),
  };
  const present = isSimple(definition)
    ? new SinglePaneWindows(parts)
    : new PanedWindows({ ...parts, allowedLateness });
  return withFormer(present, definition, { ...parts, options, former });
}

/** Windows that are over when they have fired, and share nothing. */
function isSimple({ windows, allowedLateness }: AlignedWindowDefinition): boolean {
  return windows.isSinglePane && allowedLateness === 0;
}

/** Records are kept where nothing makes one value of several panes. */
function keepsRecords({ windows, aggregation }: AlignedWindowDefinition): boolean {
  return aggregation === undefined || (aggregation.merge === undefined && !windows.isSinglePane);
}

function contentsOf(definition: AlignedWindowDefinition, options: ContentsOptions): Contents {
  const { aggregation } = definition;
  return aggregation === undefined || keepsRecords(definition)
    ? new Records(options, aggregation)
    : new Accumulators(options, aggregation);
}

function statesOf(definition: AlignedWindowDefinition): StateDescriptors {
  return {
    [PANES]: stateTable({ namespacesApart: true }),
    ...(keepsRecords(definition) && { [RECORDS]: stateTable() }),
    ...(!isSimple(definition) && { [FIRED]: stateTable() }),
    ...(definition.allowedLateness > 0 && { [FIRINGS]: stateTable() }),
  };
}
