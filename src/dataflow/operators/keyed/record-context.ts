/** The context that the functions of a keyed process operator get: outputs, key and state. */
import type { Key } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import type { Outputs } from "../contract.ts";
import { EmittingContext, type Surroundings } from "../emitting.ts";
import type { ProcessContext } from "./process.ts";

/** The one context of a process operator. */
export class RecordContext extends EmittingContext implements ProcessContext {
  key: Key = "";
  readonly state: ProcessContext["state"];
  private readonly states: KeyedState;

  constructor(operator: string, state: KeyedState, outputs: Outputs, surroundings: Surroundings) {
    super(operator, outputs, surroundings);
    this.states = state;
    this.state = state.handles;
  }

  begin(key: Key, timestamp: number): void {
    this.key = key;
    this.beginAt(timestamp);
  }

  /** A function that has kept the states for later finds no key in them. */
  override finish(result: unknown): void {
    super.finish(result);
    this.states.leaveCurrentKey();
  }

  protected override get statesInUse(): readonly string[] {
    return this.states.statesInUse;
  }
}
