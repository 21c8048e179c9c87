/**
 * The table of kinds: every operator that a job can be made of.
 *
 * A new operator is a file in this folder, a row here, and a method of the builder. Nothing else asks for kinds:
 * planner, fingerprint, restore plan, graph, draft and commands read the details of an operator, and a coordinator
 * reads the plan.
 */
import { asyncKind } from "./async/async.ts";
import { iterate } from "./iterate.ts";
import { broadcastProcess } from "./joins/broadcast-process.ts";
import { coProcess } from "./joins/co-process.ts";
import { intervalJoin } from "./joins/interval-join.ts";
import { versionedJoin } from "./joins/versioned-join.ts";
import { windowJoin } from "./joins/window-join.ts";
import { processKind } from "./keyed/process.ts";
import { reduce } from "./keyed/reduce.ts";
import { machineKind } from "./machines/actors.ts";
import { sink } from "./sink.ts";
import { source } from "./source.ts";
import { filter } from "./stateless/filter.ts";
import { flatMap } from "./stateless/flat-map.ts";
import { map } from "./stateless/map.ts";
import { assignTimestamps } from "./time/assign-timestamps.ts";
import { unkeyedProcess } from "./unkeyed/process.ts";
import { alignedWindow } from "./windows/aligned/window.ts";
import { countWindow } from "./windows/global/count-window.ts";
import { sessionWindow } from "./windows/sessions/session-window.ts";
import { triggeredWindow } from "./windows/triggered/triggered-window.ts";

export const operatorKinds = {
  source,
  map,
  filter,
  flatMap,
  assignTimestamps,
  async: asyncKind,
  process: processKind,
  unkeyedProcess,
  reduce,
  machine: machineKind,
  alignedWindow,
  coProcess,
  broadcastProcess,
  intervalJoin,
  windowJoin,
  versionedJoin,
  sessionWindow,
  countWindow,
  triggeredWindow,
  iterate,
  sink,
};
