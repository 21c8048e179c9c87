/**
 * The user's functions over a keyed stream and one that every subtask gets whole: Flink's
 * KeyedBroadcastProcessFunction.
 *
 * Owns: broadcast state and who may change it. Does not own: the keyed side, which is a keyed process
 * (keyed/process.ts); that the broadcast records come in one order, which graph.ts sees to.
 *
 * - BP1 Every subtask gets the broadcast records in the order in which their one sender sent them, and they alone
 *   change broadcast state. So all copies are equal, but for what is on its way.
 * - BP2 A broadcast record belongs to no key: `onBroadcast` has neither keyed state nor timers, but for what
 *   `forEachKey` gives it (every-key.ts). What it emits, each subtask emits.
 */
import { OperatorError } from "../../../errors.ts";
import {
  type BroadcastMap,
  type BroadcastStateDescriptors,
  broadcastState,
} from "../../../state/broadcast-state.ts";
import { describeValue } from "../../../state/described.ts";
import type { Key, StateDescriptors } from "../../../state/descriptor.ts";
import { OperatorState } from "../../../state/operator-state.ts";
import type { OpenWait, OperatorKind, OperatorServices, Outputs, PortWaitDetails } from "../contract.ts";
import { EmittingContext, type Surroundings } from "../emitting.ts";
import { openProcess, type ProcessFunction, type ProcessOperator, processKind } from "../keyed/process.ts";
import { resourceOf } from "../lifecycle.ts";
import { EveryKey } from "./every-key.ts";

/** Reused for every broadcast record of an operator: read it, do not keep it. */
export interface BroadcastContext {
  /** Event time of the record in ms, or NO_TIMESTAMP. */
  readonly timestamp: number;
  /** The states by name, which may be changed here. */
  readonly broadcast: Readonly<Record<string, unknown>> | undefined;
  /** The watermark that the operator has come to, in ms; -Infinity: none yet. */
  readonly currentWatermark: number;
  /** Each subtask emits. @param timestamp event time of what is emitted, in ms. Default: that of the record */
  readonly emit: (value: unknown, timestamp?: number) => void;
  readonly sideOutput: (tag: string, value: unknown, timestamp?: number) => void;
  /**
   * Has a function called for each key of the subtask that holds a value in this keyed state, behind `onBroadcast` and
   * before the next record.
   */
  readonly forEachKey: (state: string, apply: (key: Key, state: unknown) => void) => void;
  /** The answer of `open`. */
  readonly resource: unknown;
}

export interface BroadcastProcessOperator extends ProcessOperator {
  readonly process: ProcessFunction<unknown, unknown, StateDescriptors>;
  readonly broadcast: BroadcastStateDescriptors;
  readonly onBroadcast: (value: unknown, context: BroadcastContext) => void;
  /** The keyed records are held back for so long. Default: they are not. */
  readonly waitFor?: PortWaitDetails["until"] | undefined;
}

/** The operator's own state: it has an entry when the wait is over. No state of a user's has a blank in its name. */
const WAIT_OVER = "wait over";

export const broadcastProcess: OperatorKind<BroadcastProcessOperator> = {
  name: "broadcastProcess",
  describe: ({ broadcast, waitFor, ...operator }) => ({
    ...processKind.describe(operator),
    operatorStates: broadcast,
    ports: ["keyed", "broadcast"],
    oneSenderPort: 1,
    ...(waitFor && { waits: waitOf(waitFor) }),
  }),
  open({ lifecycle, broadcast, onBroadcast, waitFor, ...operator }, services, outputs) {
    const descriptors = waitFor === undefined ? broadcast : { ...broadcast, [WAIT_OVER]: broadcastState() };
    const operatorState = new OperatorState(services.id, descriptors, services.checks);
    const { [WAIT_OVER]: waitOver, ...handles } = operatorState.broadcast;
    const resource = resourceOf(services.id, lifecycle, { broadcast: handles });
    const around = { resource, broadcast: handles };
    const process = openProcess(operator, services, outputs, around);
    const { opened } = process;
    const everyKey = new EveryKey(services.id, Object.keys(operator.process.state), process);
    const { sideOutputs: tags, timestamps } = operator.process;
    const surroundings = { ...around, tags, timestamps };
    const context = new Context({ services, outputs, surroundings, everyKey });
    const maps = Object.values(handles);
    let record: unknown;
    const atRecord = (error: unknown): unknown =>
      error instanceof OperatorError ? error.at(`broadcast record ${textOf(record)}`) : error;
    const setWritable = (isWritable: boolean): void => {
      for (const map of maps) map.isWritable = isWritable;
    };
    return {
      ...opened,
      operatorState,
      ...(waitFor &&
        waitOver && {
          wait: openWait(waitFor, waitOver, maps),
          figures: () => ({ ...opened.figures?.(), subtasksWaiting: waitOver.size > 0 ? 0 : 1 }),
        }),
      inputs: [
        opened.inputs[0]!,
        (value, timestamp) => {
          record = value;
          setWritable(true);
          try {
            context.begin(timestamp);
            context.finish(onBroadcast(value, context));
          } catch (error) {
            throw atRecord(context.failureOf(error));
          } finally {
            setWritable(false);
          }
        },
      ],
      work: { port: 1, take: () => everyKey.begin(context, atRecord) },
    };
  },
};

const waitOf = (until: PortWaitDetails["until"]): PortWaitDetails => ({
  heldPort: 0,
  awaitedPort: 1,
  until,
});

/** Rules that lie in the state without it come from a job that did not wait: they are there. */
function openWait(
  until: PortWaitDetails["until"],
  over: BroadcastMap,
  rules: readonly BroadcastMap[],
): OpenWait {
  return {
    ...waitOf(until),
    get isOver() {
      return over.size > 0 || (until === "first" && rules.some(({ size }) => size > 0));
    },
    end() {
      over.isWritable = true;
      over.set("over", true);
      over.isWritable = false;
    },
  };
}

const TEXT_MAX = 200;

/** A record in a message: which of the rules it was. */
function textOf(value: unknown): string {
  try {
    const text = JSON.stringify(value) ?? describeValue(value);
    return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
  } catch {
    return describeValue(value);
  }
}

interface ContextOptions {
  readonly services: Pick<OperatorServices, "id" | "time">;
  readonly outputs: Outputs;
  readonly surroundings: Surroundings;
  readonly everyKey: EveryKey;
}

class Context extends EmittingContext implements BroadcastContext {
  readonly forEachKey: BroadcastContext["forEachKey"];
  private readonly services: ContextOptions["services"];
  constructor({ services, outputs, surroundings, everyKey }: ContextOptions) {
    super(services.id, outputs, surroundings);
    this.services = services;
    this.forEachKey = (state, apply) => {
      if (!this.isRunning) this.refuseCall("forEachKey");
      everyKey.ask(state, apply);
    };
  }

  get currentWatermark(): number {
    return this.services.time.watermark;
  }

  /** Where types are not checked, the function may take this context for that of a keyed record. */
  get state(): never {
    return this.refuseKeyed("state");
  }

  get timers(): never {
    return this.refuseKeyed("timers");
  }

  begin(timestamp: number): void {
    this.beginAt(timestamp);
  }

  override get isRunning(): boolean {
    return super.isRunning;
  }

  private refuseKeyed(what: string): never {
    throw new Error(
      `onBroadcast has no key, and so no ${what}: forEachKey(state, apply) changes what the keys hold, and onRecord has ${what}`,
    );
  }
}
