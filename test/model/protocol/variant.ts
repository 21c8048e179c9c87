/** The parts of the model that can be altered: seeded bugs replace these and nothing else (test/model/bugs). */
import type { AnyStateMachine } from "xstate";
import { checkpointMachine } from "../../../machines/leader/checkpoints/checkpoint.ts";
import { checkpointingMachine } from "../../../machines/leader/checkpoints/checkpointing.ts";
import { jobMachine } from "../../../machines/leader/job.ts";
import { requestMachine } from "../../../machines/leader/requests/request.ts";
import { restartMachine } from "../../../machines/leader/restart.ts";
import { changeRecord } from "../../../machines/record.ts";
import { alignmentMachine } from "../../../machines/worker/alignment.ts";
import { sinkTransactionMachine } from "../../../machines/worker/sink-transaction.ts";
import { subtaskMachine } from "../../../machines/worker/subtask.ts";
import type { CompositionState } from "../composition.ts";
import type { ProcessOutcome } from "../machine-process.ts";
import type { MachineEffect } from "../pure-machine.ts";
import type { TargetFaults } from "./target.ts";

/** What becomes of an effect; `proceed` is what the model does by itself, with this effect or a changed one. */
export type Reroute = (
  effect: MachineEffect,
  proceed: (changed?: MachineEffect) => readonly ProcessOutcome[] | undefined,
  actor: string,
  state: CompositionState,
) => readonly ProcessOutcome[] | undefined;

export interface Variant {
  readonly job: AnyStateMachine;
  readonly restart: AnyStateMachine;
  readonly checkpointing: AnyStateMachine;
  readonly checkpoint: AnyStateMachine;
  readonly request: AnyStateMachine;
  readonly subtask: AnyStateMachine;
  readonly alignment: AnyStateMachine;
  readonly sinkTransaction: AnyStateMachine;
  readonly changeRecord: typeof changeRecord;
  readonly target: TargetFaults;
  readonly coordinator: Reroute;
  readonly worker: Reroute;
  /** Each of these takes one rule out of the host. */
  readonly faults: HostFaults;
}

export interface HostFaults {
  /** P2: messages of other generations are taken, too. */
  readonly ignoresGenerations?: boolean;
  /** P8: a write whose answer does not come is taken for one that failed. */
  readonly trustsTimeouts?: boolean;
  /** P16: what a late acknowledgement names is taken for unreachable. */
  readonly deletesOnUnknown?: boolean;
  /** A savepoint that is newer than the latest checkpoint is restored. */
  readonly restoresSavepoints?: boolean;
  /** P21: a sweep takes what generations that are not over have left, too. */
  readonly sweepsTheLiving?: boolean;
  /** P81: a snapshot rests on the latest one of its subtask, whichever its barrier names. */
  readonly restsOnLatest?: boolean;
  /** P81: what a pending checkpoint rests on is not held. */
  readonly holdsNoBase?: boolean;
  /** P81: a base is held for ever. */
  readonly keepsBases?: boolean;
  /** P95: what is restored counts as taken of the present plan. */
  readonly forgetsFormerPlans?: boolean;
  /** P95: the leader goes on as before when the record has decided. */
  readonly staysWithItsPlan?: boolean;
  /** P95: what the record says of a rescale is not looked at when its client asks again. */
  readonly rescalesAgain?: boolean;
  /** What recovery was planned with is deployed, whatever the record says by then. */
  readonly deploysThePlan?: boolean;
}

export const theProtocol: Variant = {
  job: jobMachine,
  restart: restartMachine,
  checkpointing: checkpointingMachine,
  checkpoint: checkpointMachine,
  request: requestMachine,
  subtask: subtaskMachine,
  alignment: alignmentMachine,
  sinkTransaction: sinkTransactionMachine,
  changeRecord,
  target: {},
  coordinator: (_effect, proceed) => proceed(),
  worker: (_effect, proceed) => proceed(),
  faults: {},
};
