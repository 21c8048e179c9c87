/** The roles of the machines: what an actor of each begins with, hears and names, for the hosts and for the wiring. */

import type {
  CheckpointAnswers,
  CheckpointEffects,
  CheckpointEvent,
  CheckpointInput,
} from "./leader/checkpoints/checkpoint-events.ts";
import type {
  CheckpointingAnswers,
  CheckpointingEffects,
  CheckpointingEvent,
  CheckpointingInput,
} from "./leader/checkpoints/checkpointing-events.ts";
import type { JobAnswers, JobEffects, JobEvent, JobInput } from "./leader/job-events.ts";
import type { LeaseAnswers, LeaseEffects, LeaseEvent, LeaseInput } from "./leader/lease.ts";
import type { RequestEffects, RequestEvent, RequestInput } from "./leader/requests/request-events.ts";
import type { RestartEffects, RestartEvent, RestartInput } from "./leader/restart.ts";
import type { AlignmentEffects, AlignmentEvent, AlignmentInput } from "./worker/alignment.ts";
import type {
  BarrierTrackerEffects,
  BarrierTrackerEvent,
  BarrierTrackerInput,
} from "./worker/barrier-tracker.ts";
import type { LoopEffects, LoopEvent, LoopInput } from "./worker/loop.ts";
import type {
  SinkTransactionAnswers,
  SinkTransactionEffects,
  SinkTransactionEvent,
  SinkTransactionInput,
} from "./worker/sink-transaction.ts";
import type { SubtaskAnswers, SubtaskEffects, SubtaskEvent, SubtaskInput } from "./worker/subtask-events.ts";

/** What one kind of actor begins with, hears and names, and by which events its effects are answered. */
export interface Role<
  Input = unknown,
  Event extends { readonly type: string } = { readonly type: string },
  Effects = object,
  Answers extends { readonly [E in keyof Effects]?: Event["type"] } = object,
> {
  readonly input: Input;
  readonly event: Event;
  readonly effects: Effects;
  readonly answers: Answers;
}

/** An actor's id is the name of its role, or begins with it: `checkpoint/7`. */
export interface Roles {
  readonly lease: Role<LeaseInput, LeaseEvent, LeaseEffects, LeaseAnswers>;
  readonly job: Role<JobInput, JobEvent, JobEffects, JobAnswers>;
  readonly restart: Role<RestartInput, RestartEvent, RestartEffects>;
  readonly checkpointing: Role<
    CheckpointingInput,
    CheckpointingEvent,
    CheckpointingEffects,
    CheckpointingAnswers
  >;
  readonly checkpoint: Role<CheckpointInput, CheckpointEvent, CheckpointEffects, CheckpointAnswers>;
  readonly request: Role<RequestInput, RequestEvent, RequestEffects>;
  readonly subtask: Role<SubtaskInput, SubtaskEvent, SubtaskEffects, SubtaskAnswers>;
  readonly alignment: Role<AlignmentInput, AlignmentEvent, AlignmentEffects>;
  readonly "barrier-tracker": Role<BarrierTrackerInput, BarrierTrackerEvent, BarrierTrackerEffects>;
  readonly loop: Role<LoopInput, LoopEvent, LoopEffects>;
  readonly transaction: Role<
    SinkTransactionInput,
    SinkTransactionEvent,
    SinkTransactionEffects,
    SinkTransactionAnswers
  >;
}

export type RoleName = keyof Roles;
