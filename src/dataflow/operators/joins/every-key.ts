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
 * - EY3 No key is current afterwards, whatever has happened.
 */
import { OperatorError } from "../../../errors.ts";
import { describeValue } from "../../../state/described.ts";
import type { Key } from "../../../state/descriptor.ts";
import { isAnswer, refuseAnswer, wanted } from "../../guards/answers.ts";
import type { OpenProcess } from "../keyed/process.ts";

export class EveryKey {
  private readonly operator: string;
  private readonly states: readonly string[];
  private readonly process: Pick<OpenProcess, "state" | "context">;
  /** The state whose keys are being given; undefined: none. */
  private walked: string | undefined;

  /** @param states the names of those that the user has declared */
  constructor(operator: string, states: readonly string[], process: Pick<OpenProcess, "state" | "context">) {
    this.operator = operator;
    this.states = states;
    this.process = process;
  }

  /** @param timestamp that of the broadcast record */
  apply(name: string, timestamp: number, act: (key: Key, state: unknown) => unknown): void {
    const { state, context } = this.process;
    const handle: unknown = state.handles[name];
    this.walked = name;
    for (const key of state.keys(name)) {
      state.setCurrentKey(key);
      context.begin(key, timestamp);
      if (state.holdsValue(name)) {
        const answer = act(key, handle);
        if (!isAnswer(answer))
          refuseAnswer(
            this.operator,
            `the function of forEachKey("${name}") answered`,
            answer,
            wanted.nothing,
          );
      }
      context.finish(undefined);
    }
  }

  failureOf(error: unknown): unknown {
    return this.process.context.failureOf(error);
  }

  /** Called behind `apply`, also if that has failed. */
  leave(): void {
    this.walked = undefined;
    this.process.state.leaveCurrentKey();
  }

  /** @throws OperatorError for what `apply` cannot be called with, or not now */
  check(name: string, act: unknown): void {
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
