/** What a coordinator sends to workers: deployments, and the messages of its machines. */
import { planOfCheckpoint } from "../../../../machines/leader/rescale.ts";
import { madeOf, messageOf } from "../../../../machines/wiring.ts";
import type { ProcessOutcome } from "../../machine-process.ts";
import type { MachineEffect } from "../../pure-machine.ts";
import { change } from "../memory.ts";
import { nameOfPlan, type PlanName, restoredOf, subtasksIn } from "../plans.ts";
import type { Deployment, ModelCheckpoint, ModelSavepoint } from "../words.ts";
import type { Memory } from "./coordinator-memory.ts";
import { type LeaderHost, roleOf } from "./leader-host.ts";

/** Subtasks of generations that go on stay where they are. */
export function place(host: LeaderHost): ProcessOutcome {
  const { memory, bounds, choose } = host;
  const kept = memory.live.flatMap((generation) => host.subtasksOf(generation));
  const placement = Object.entries(subtasksIn(bounds, host.plan)).map(([subtask, workers]) => [
    subtask,
    kept.includes(subtask)
      ? memory.placement[subtask]!
      : workers.length === 1
        ? workers[0]!
        : choose(...workers),
  ]);
  return change<Memory>(() => ({ placement: Object.fromEntries(placement) }));
}

export function deploy(host: LeaderHost, generations: readonly number[], settle: boolean): ProcessOutcome[] {
  const { placement, planned } = host.memory;
  const restore = host.variant.faults.deploysThePlan ? (planned ?? undefined) : restorable(host);
  return generations.flatMap((generation) =>
    host.subtasksOf(generation).map((subtask) => ({
      kind: "send" as const,
      to: placement[subtask]!,
      message: {
        type: "generation.deploy",
        generation,
        leader: host.id,
        subtask,
        restoredCheckpointId: restore?.checkpointId ?? 0,
        restored:
          restore === undefined ? null : restoredOf(host.bounds, restore, takenOf(host, restore), subtask),
        settle,
      } satisfies Deployment,
    })),
  );
}

/** The plan that the checkpoint was taken of, as the record says. */
function takenOf({ record, plan, variant }: LeaderHost, { checkpointId }: ModelCheckpoint): PlanName {
  return variant.faults.forgetsFormerPlans ? plan : nameOfPlan(planOfCheckpoint(record, checkpointId));
}

function restorable({ record, variant }: LeaderHost): ModelCheckpoint | undefined {
  const latest = record.checkpoints.at(-1) as ModelCheckpoint | undefined;
  const savepoint = record.savepoints.at(-1) as ModelSavepoint | undefined;
  const newer = savepoint !== undefined && savepoint.checkpointId > (latest?.checkpointId ?? 0);
  return variant.faults.restoresSavepoints && newer ? (savepoint as never) : latest;
}

/**
 * The message that the effect becomes, to each of its generations, or to all that were there when its generation was
 * the newest; only while they are mine to speak to (LG1).
 */
export function send(
  host: LeaderHost,
  actor: string,
  { type, params }: MachineEffect,
  facts: object = {},
): ProcessOutcome[] {
  const wire = messageOf(roleOf(actor), type)!;
  // What makes a subtask report again.
  const once = host.bounds.reportsOnce === true && wire.event === "checkpoint.completed";
  const { live, placement } = host.memory;
  const generations = params.generations as readonly number[] | undefined;
  const isMeant = (one: number) => generations?.includes(one) ?? one <= Number(params.generation);
  return live.filter(isMeant).flatMap((generation) =>
    host.subtasksOf(generation).map((subtask) => ({
      kind: "send" as const,
      to: placement[subtask]!,
      message: madeOf(wire, { ...params, generation }, facts),
      once,
    })),
  );
}
