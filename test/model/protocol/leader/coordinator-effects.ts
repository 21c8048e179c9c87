/** What the effects of a coordinator's machines do, as in the handlers of src/runtime/leader/job-runtime.ts. */
import type { CheckpointingEffects } from "../../../../machines/leader/checkpoints/checkpointing-events.ts";
import type { JobEffects } from "../../../../machines/leader/job-events.ts";
import type { RequestAnswer } from "../../../../machines/leader/requests/request-events.ts";
import { factsOf, type RecordChange } from "../../../../machines/record.ts";
import { inputOf, madeOf, messageOf, toldActors, wireInside } from "../../../../machines/wiring.ts";
import { checkpointingInput } from "../../../../src/runtime/leader/checkpoints/checkpointing-input.ts";
import type { ProcessOutcome } from "../../machine-process.ts";
import type { Event, StoreEffect } from "../../process.ts";
import type { MachineEffect } from "../../pure-machine.ts";
import type { ToActor } from "../held-actors.ts";
import { change, MEMORY, passed } from "../memory.ts";
import { nonceOf } from "../target.ts";
import { type ModelCheckpoint, RECORD, type RecordWrite } from "../words.ts";
import type { Answered, Memory } from "./coordinator-memory.ts";
import { deploy, place, send } from "./deployment.ts";
import { afterEnd } from "./failure-streak.ts";
import { addTo, type LeaderHost, roleOf } from "./leader-host.ts";
import { leadAnew } from "./leading.ts";
import { reap, releaseSnapshots, sweep } from "./object-keeping.ts";
import {
  abort,
  complete,
  decide,
  keepSavepoint,
  startCheckpoint,
  trigger,
  withSavepoint,
} from "./pending-checkpoints.ts";
import type { WriteAnswer } from "./records/record-writer.ts";
import { inputFor } from "./requests.ts";
import { failed, recovered } from "./rescale.ts";

export function route(
  host: LeaderHost,
  effect: MachineEffect,
  actor: string,
): readonly ProcessOutcome[] | undefined {
  const { type, params } = effect;
  const checkpointId = Number(params.checkpointId);
  // Led anew already.
  if (!host.state.actors.has(MEMORY) && type !== "send.write") return [];
  switch (type) {
    case "send.write":
      return [{ kind: "send", to: RECORD, message: params as unknown as RecordWrite }];
    case "pass.event":
      if ((params.told as Event).type === "request.asked") return startRequest(host, params as never);
      return [
        { ...host.deliver(String(params.actor), params.told as Event), first: true },
        ...count(host, String(params.actor), params.told as Event),
      ];
    case "answer.request":
      return answer(host, params as unknown as ChangeAnswered);
    case "answer.client":
      return answerClient(host, actor, params.answer as RequestAnswer);
    case "timer.start":
    case "timer.cancel":
      // An outcome is remembered for longer than any client asks.
      return roleOf(actor) === "request" ? [] : undefined;
    case "start.policies":
      return startPolicies(host, params as unknown as JobEffects["start.policies"]);
    case "start.checkpoint":
      return startCheckpoint(host, params as unknown as CheckpointingEffects["start.checkpoint"]);
    case "send.trigger":
      return trigger(host, actor, effect);
    case "send.aborted":
      return abort(host, actor, effect);
    case "store.decision":
      return decide(host, actor, checkpointId, params.allFinished === true);
    case "store.savepoint":
      return [change<Memory>((memory) => withSavepoint(memory, checkpointId, false))];
    case "store.savepointEntry":
      return keepSavepoint(host, actor, checkpointId);
    case "store.manifest":
      // It may be written although the answer says otherwise, or never comes.
      return [{ kind: "store", update: addTo("manifests", checkpointId), note: `manifest ${checkpointId}` }];
    case "release.snapshots":
      return releaseSnapshots(host, checkpointId);
    default:
      return routeJob(host, effect, actor);
  }
}

/** Effects of the job machine, and what any actor tells or sends. */
function routeJob(
  host: LeaderHost,
  effect: MachineEffect,
  actor: string,
): readonly ProcessOutcome[] | undefined {
  const { type, params } = effect;
  const { bounds, variant } = host;
  const generations = params.generations as readonly number[];
  if (type.startsWith("store.")) return host.change(actor, changeOf(host, effect));
  switch (type) {
    case "plan.recovery": {
      const planned = (host.record.checkpoints.at(-1) as ModelCheckpoint | undefined) ?? null;
      return [
        ...(variant.faults.deploysThePlan ? [change<Memory>(() => ({ planned }))] : []),
        host.soon(actor, "recovery", { type: "recovery.planned" }),
      ];
    }
    case "await.slots":
      return [host.soon(actor, "slots", { type: "slots.available" }), place(host)];
    case "send.deployment":
      return deploy(host, generations, params.settle === true);
    case "send.teardown":
      return [
        ...(bounds.teardown ? send(host, actor, effect) : []),
        change<Memory>(({ live }) => ({ live: live.filter((one) => !generations.includes(one)) })),
      ];
    case "release.job":
      return [
        ...host.tellRequests("job.ended", params),
        ...(bounds.objects && host.isOver ? [sweep(host, Number.MAX_SAFE_INTEGER)] : []),
      ];
    case "report.recovery":
      return [
        ...tellInside(host, actor, effect),
        ...recovered(host),
        ...(bounds.objects ? [sweep(host, host.lastId)] : []),
      ];
    case "report.failure": {
      const { where, reason } = params as { where: string; reason: string };
      const failure = { atMs: 0, generation: host.record.generation, where, reason };
      return [
        ...failed(host, reason),
        ...host.change("", { change: "failure", failure }),
        ...host.tellRequests("job.failed", { where: "", reason: "" }),
        ...tellInside(host, actor, effect),
      ];
    }
    default:
      if (type.startsWith("tell.")) return tell(host, actor, effect);
      return messageOf(roleOf(actor), type) && send(host, actor, effect);
  }
}

/** What an effect of the job or of checkpointing writes. */
function changeOf({ token }: LeaderHost, { type, params }: MachineEffect): RecordChange {
  switch (type) {
    case "store.claim":
      return { change: "claim", token };
    case "store.generation": {
      const generation = Number(params.generation);
      return {
        change: "generation",
        generation,
        regions: params.regions as readonly number[],
        nonce: nonceOf(generation),
        completed: Number(params.completed),
      };
    }
    case "store.settling":
      return { change: "settling", settleTo: params.settleTo as never };
    case "store.terminal":
      return { change: "terminal", status: params.status as never, keepsAll: params.keepsAll === true };
    case "store.reservation":
      return { change: "reservation", reservedCheckpointId: Number(params.reservedCheckpointId) };
    default:
      throw new Error(`nothing is known of ${type}`);
  }
}

interface ChangeAnswered {
  readonly actor: string;
  readonly change: RecordChange;
  readonly answer: WriteAnswer;
}

/** The waiting actor gets its answer first, then what it was told meanwhile. */
function answer(
  host: LeaderHost,
  { actor, change: wanted, answer: answered }: ChangeAnswered,
): ProcessOutcome[] {
  if (answered.outcome === "lost") return host.wake(actor, { type: "record.lost" });
  const facts = factsOf(answered.record);
  if (answered.outcome === "refused") return host.wake(actor, { type: "record.refused", facts } as Event);
  return [
    ...host.wake(actor, { type: "record.stored", facts } as Event),
    ...(host.bounds.objects ? [reap(answered.before, answered.record)] : []),
    ...follow(host, actor, wanted),
  ];
}

/** What the host does once a change is durable. */
function follow(host: LeaderHost, actor: string, wanted: RecordChange): ProcessOutcome[] {
  switch (wanted.change) {
    case "generation": {
      const { generation, regions: raised } = wanted;
      const begun = raised.map((_, index) => generation + index);
      return [
        change<Memory>(({ live, pending, outlived }) => ({
          live: [...live, ...begun],
          raised,
          pending: {},
          outlived: host.bounds.objects ? { ...outlived, ...pending } : outlived,
        })),
      ];
    }
    case "decision":
    case "savepoint":
      return complete(host, actor, wanted);
    case "rescale":
    case "rescale-undone":
      return host.variant.faults.staysWithItsPlan ? [] : leadAnew(host);
    default:
      return [];
  }
}

function startRequest(
  host: LeaderHost,
  { actor, told }: ToActor & { readonly told: Event },
): ProcessOutcome[] {
  const { request: machine } = host.variant;
  return [
    { kind: "create", actor, machine, input: inputFor(actor) },
    { kind: "tell", actor, event: told },
  ];
}

/** An outcome that a client is told, also when it asks again; it may have failed although its savepoint is there. */
function answerClient(host: LeaderHost, actor: string, { state }: RequestAnswer): StoreEffect[] {
  if (state !== "completed" && state !== "failed") return [];
  const { request } = inputFor(actor);
  const { checkpointId } = host.state.actors.get(actor)!.snapshot.context as { checkpointId: number };
  const answered: Answered = { request, state, checkpointId };
  const note = `tells that ${request} has ${state} as ${checkpointId}`;
  return [{ kind: "store", update: addTo("answered", answered), note }];
}

function count({ bounds, memory, state }: LeaderHost, actor: string, told: Event): ProcessOutcome[] {
  const tolerable = bounds.tolerableFailures;
  if (actor !== "checkpointing" || tolerable === undefined) return [];
  const streak = afterEnd(memory.streak, state, told, tolerable);
  return streak === memory.streak ? [] : [change<Memory>(() => ({ streak }))];
}

function tell(host: LeaderHost, actor: string, { type, params }: MachineEffect): ProcessOutcome[] {
  const event = params.event as Event;
  const targets = toldActors(roleOf(actor), type, params, () => host.checkpoints);
  const paid = change<Memory>(({ streak }) => ({ streak: { ...streak, owed: streak.owed - 1 } }));
  return [
    ...(event.type === "checkpoints.failed" ? [paid] : []),
    // What is told before it may make the target wait.
    ...targets.map((target) => ({ kind: "tell" as const, ...passed(target, event) })),
  ];
}

/** The clock stands still, and chance has no say. */
function tellInside(host: LeaderHost, actor: string, { type, params }: MachineEffect): ProcessOutcome[] {
  const wire = wireInside(roleOf(actor), type)!;
  return wire.to.map((target) => host.deliver(target, madeOf(wire, params, { atMs: 0, chance: 0 })));
}

function startPolicies(
  { record, bounds, variant }: LeaderHost,
  params: JobEffects["start.policies"],
): ProcessOutcome[] {
  const { checkpointing, restart } = record;
  return [
    {
      kind: "create",
      actor: "restart",
      machine: variant.restart,
      input: inputOf("restart", params, { strategy: restart }),
    },
    {
      kind: "create",
      actor: "checkpointing",
      machine: variant.checkpointing,
      input: inputOf("checkpointing", params, {
        ...checkpointingInput(checkpointing),
        savepointsMax: bounds.savepointsMax ?? 8,
        block: bounds.block ?? 4,
        chance: 0,
      }),
    },
  ];
}
