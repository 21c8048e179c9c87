/**
 * `forEachKey` of a broadcast record: a function for each key of the subtask that holds a value in a keyed state.
 * Flink's KeyedBroadcastProcessFunction.Context.applyToKeyedState.
 *
 * Owns: which key is current meanwhile. Does not own: the keys (state/keyed-state.ts), what the function emits, which
 * is for the context of the broadcast record.
 *
 * - EY1 Each key is given once, key group by key group. The function may change or clear what the state holds for it.
 * - EY2 What has expired is not given. Where that is found here `onExpire` is told of it, with its key, as within a
 *   function for that key (PR3).
 * - EY3 No key is current between two of them.
 * - EY4 The keys come behind `onBroadcast`, one to a slice: a subtask may have millions. Neither a record nor a cut nor
 *   time comes before all of them are done (P92), so the function need not be part of a snapshot.
 */
import { OperatorError } from "../../../errors.ts";
import { describeValue } from "../../../state/described.ts";
import type { Key } from "../../../state/descriptor.ts";
import { isAnswer, refuseAnswer, wanted } from "../../guards/answers.ts";
import type { Slices } from "../contract.ts";
import type { EmittingContext } from "../emitting.ts";
import type { OpenProcess } from "../keyed/process.ts";

type Apply = (key: Key, state: unknown) => unknown;

/** What the functions emit by: the context of the broadcast record. */
type BroadcastEmitting = Pick<EmittingContext, "timestamp" | "finish" | "failureOf"> & {
  readonly isRunning: boolean;
  begin(timestamp: number): void;
};

export class EveryKey {
  private readonly operator: string;
  private readonly states: readonly string[];
  private readonly process: Pick<OpenProcess, "state" | "context">;
  /** What the record has asked for, in order. */
  private asked: { readonly name: string; readonly act: Apply }[] = [];
  /** The state whose keys are being given; undefined: none. */
  private walked: string | undefined;

  /** @param states the names of those that the user has declared */
  constructor(operator: string, states: readonly string[], process: Pick<OpenProcess, "state" | "context">) {
    this.operator = operator;
    this.states = states;
    this.process = process;
  }

  ask(name: string, act: Apply): void {
    this.check(name, act);
    this.asked.push({ name, act });
  }

  /**
   * Begins what was asked for; undefined: nothing was.
   * @param context of the broadcast record
   * @param failed names a failure after the record
   */
  begin(context: BroadcastEmitting, failed: (error: unknown) => unknown): Slices | undefined {
    if (this.asked.length === 0) return undefined;
    const { state } = this.process;
    const { asked } = this;
    const { timestamp } = context;
    this.asked = [];
    let keys: Iterator<Key> | undefined;
    return {
      step: () => {
        const [current] = asked;
        if (current === undefined) return false;
        keys ??= state.keys(current.name);
        const next = keys.next();
        if (next.done === true) {
          keys = undefined;
          asked.shift();
          return true;
        }
        try {
          this.apply(current.name, current.act, next.value, timestamp, context);
        } catch (error) {
          // Not while it emits: then it is what is downstream that has failed, and the error has its name.
          throw failed(context.isRunning ? this.process.context.failureOf(error) : context.failureOf(error));
        }
        return true;
      },
    };
  }

  private apply(name: string, act: Apply, key: Key, timestamp: number, broadcast: BroadcastEmitting): void {
    const { state, context } = this.process;
    state.setCurrentKey(key);
    context.begin(key, timestamp);
    broadcast.begin(timestamp);
    this.walked = name;
    if (state.holdsValue(name)) {
      const answer = act(key, state.handles[name]);
      if (!isAnswer(answer))
        refuseAnswer(this.operator, `the function of forEachKey("${name}") answered`, answer, wanted.nothing);
    }
    this.walked = undefined;
    broadcast.finish(undefined);
    context.finish(undefined);
  }

  /** @throws OperatorError for what `ask` cannot be called with, or not now */
  private check(name: string, act: unknown): void {
    const wrong = (what: string): never => {
      throw new OperatorError(this.operator, new Error(what));
    };
    const { walked, states } = this;
    const asked = typeof name === "string" ? `"${name}"` : describeValue(name);
    if (walked !== undefined)
      wrong(`forEachKey(${asked}) was called within forEachKey("${walked}"): call one behind the other`);
    if (!states.includes(name)) {
      const declared = states.length === 0 ? "none is declared" : `declared: ${states.join(", ")}`;
      wrong(`forEachKey was given ${asked}, which is no keyed state of the operator; ${declared}`);
    }
    if (typeof act !== "function")
      wrong(`forEachKey(${asked}) needs a function (key, state) => …, got ${describeValue(act)}`);
  }
}
