/**
 * The user's functions over a keyed stream and one that every subtask gets whole: Flink's
 * KeyedBroadcastProcessFunction.
 *
 * Owns: broadcast state and who may change it. Does not own: the keyed side, which is a keyed process
 * (keyed/process.ts); that the broadcast records come in one order, which graph.ts sees to.
 *
 * - BP1 Every subtask gets the broadcast records in the order in which their one sender sent them, and they alone
 *   change broadcast state. So all copies are equal, but for what is on its way.
 * - BP2 A broadcast record belongs to no key: `onBroadcast` has neither keyed state nor timers. What it emits, each
 *   subtask emits.
 */
import { OperatorError } from "../../../errors.ts";
import type { BroadcastStateDescriptors } from "../../../state/broadcast-state.ts";
import { describeValue } from "../../../state/described.ts";
import type { StateDescriptors } from "../../../state/descriptor.ts";
import { OperatorState } from "../../../state/operator-state.ts";
import type { OperatorKind, OperatorServices, Outputs } from "../contract.ts";
import { EmittingContext, type Surroundings } from "../emitting.ts";
import { openProcess, type ProcessFunction, type ProcessOperator, processKind } from "../keyed/process.ts";
import { resourceOf } from "../lifecycle.ts";

/** Reused for every broadcast record of an operator: read it, do not keep it. */
export interface BroadcastContext {
  /** Event time of the record in ms, or NO_TIMESTAMP. */
  readonly timestamp: number;
  /** The states by name, which may be changed here. */
  readonly broadcast: Readonly<Record<string, unknown>> | undefined;
  /** The watermark that the operator has come to, in ms; -Infinity: none yet. */
  readonly currentWatermark: number;
  /** Emits with the timestamp of the record; each subtask does. */
  readonly emit: (value: unknown) => void;
  readonly sideOutput: (tag: string, value: unknown) => void;
  /** The answer of `open`. */
  readonly resource: unknown;
}

export interface BroadcastProcessOperator extends ProcessOperator {
  readonly process: ProcessFunction<unknown, unknown, StateDescriptors>;
  readonly broadcast: BroadcastStateDescriptors;
  readonly onBroadcast: (value: unknown, context: BroadcastContext) => void;
}

export const broadcastProcess: OperatorKind<BroadcastProcessOperator> = {
  name: "broadcastProcess",
  describe: ({ broadcast, ...operator }) => ({
    ...processKind.describe(operator),
    operatorStates: broadcast,
    ports: ["keyed", "broadcast"],
    oneSenderPort: 1,
  }),
  open({ lifecycle, broadcast, onBroadcast, ...operator }, services, outputs) {
    const operatorState = new OperatorState(services.id, broadcast, services.checks);
    const around = { resource: resourceOf(services.id, lifecycle), broadcast: operatorState.broadcast };
    const opened = openProcess(operator, services, outputs, around);
    const context = new Context(services, outputs, { ...around, tags: operator.process.sideOutputs });
    const maps = Object.values(operatorState.broadcast);
    const setWritable = (isWritable: boolean): void => {
      for (const map of maps) map.isWritable = isWritable;
    };
    return {
      ...opened,
      operatorState,
      inputs: [
        opened.inputs[0]!,
        (value, timestamp) => {
          setWritable(true);
          try {
            context.begin(timestamp);
            context.finish(onBroadcast(value, context));
          } catch (error) {
            const failure = context.failureOf(error);
            throw failure instanceof OperatorError
              ? failure.at(`broadcast record ${textOf(value)}`)
              : failure;
          } finally {
            setWritable(false);
          }
        },
      ],
    };
  },
};

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

class Context extends EmittingContext implements BroadcastContext {
  private readonly services: Pick<OperatorServices, "id" | "time">;

  constructor(services: Pick<OperatorServices, "id" | "time">, outputs: Outputs, around: Surroundings) {
    super(services.id, outputs, around);
    this.services = services;
  }

  get currentWatermark(): number {
    return this.services.time.watermark;
  }

  begin(timestamp: number): void {
    this.beginAt(timestamp);
  }
}
