/**
 * Breadth-first search over global states: the first counterexample found is a shortest one.
 *
 * Owns: the frontier, the set of seen states, parents, and the order in which invariants look at states. Only the
 * frontier holds whole states; a seen state is a fingerprint, its parent and the action that led to it.
 */
import { type Action, Actions, DOWN } from "../actions.ts";
import type { CheckOptions } from "./checker.ts";
import { Column } from "./column.ts";
import { FingerprintSet } from "./fingerprints.ts";
import { GlobalState } from "./global-state.ts";
import { stuckState } from "./goal.ts";

export interface Finding {
  readonly invariant: string;
  readonly reason: string;
  /** Actions from the beginning to the state that is wrong. */
  readonly path: readonly Action[];
}

export class Search {
  readonly actions: Actions;
  edges = 0;
  depth = 0;
  cutOff = false;
  finding: Finding | undefined;

  private readonly options: CheckOptions;
  private readonly maxStates: number;
  private readonly starters: readonly number[];
  private readonly seen = new FingerprintSet();
  private readonly parents = new Column();
  private readonly causes = new Column();
  /** Rows of the states of one depth, each with its length in front. */
  private frontier = new Column();
  private nextFrontier = new Column();
  /** What Views see, already checked: many states differ only in messages and budgets. */
  private readonly checkedViews = new FingerprintSet();
  private readonly checkedSteps = new FingerprintSet();
  private readonly good = new Column();
  private readonly edgesFrom = new Column();
  private readonly edgesTo = new Column();
  private readonly current: GlobalState;
  private readonly successor: GlobalState;
  private currentId = 0;

  constructor(options: CheckOptions) {
    this.options = options;
    this.maxStates = options.maxStates ?? 5_000_000;
    this.actions = new Actions(options.processes, options.budgets ?? {});
    this.current = new GlobalState(this.actions);
    this.successor = new GlobalState(this.actions);
    this.starters = options.processes.flatMap((process, owner) =>
      process.starts === "first" ? [owner] : [],
    );
  }

  get states(): number {
    return this.seen.size;
  }

  run(): void {
    this.successor.reset();
    this.discover(0, 0);
    while (this.nextFrontier.length > 0 && !this.over) {
      this.expandLevel();
      if (this.nextFrontier.length > 0) this.depth++;
    }
    if (this.options.goal && !this.over) this.findStuck();
  }

  private get over(): boolean {
    return this.finding !== undefined || this.cutOff;
  }

  private expandLevel(): void {
    [this.frontier, this.nextFrontier] = [this.nextFrontier, this.frontier];
    this.nextFrontier.clear();
    const starter = this.starters[this.depth];
    for (let at = 0; at < this.frontier.length && !this.over; ) {
      const length = this.frontier.at(at);
      this.current.load(this.frontier.values, at + 1, length);
      this.current.low = this.seen.low.at(this.currentId);
      this.current.high = this.seen.high.at(this.currentId);
      if (starter === undefined) this.expand();
      else this.start(starter);
      this.currentId++;
      at += length + 1;
    }
  }

  /** The processes that run from the beginning boot one after another, before anything else happens. */
  private start(owner: number): void {
    for (const action of this.actions.booting(owner, this.current.durableNumber(owner))) {
      if (action.next !== DOWN) this.take(action);
    }
  }

  private expand(): void {
    const { current, actions } = this;
    for (let owner = 0; owner < actions.processes.length; owner++) {
      const local = current.localNumber(owner);
      if (local === DOWN) {
        this.takeAll(actions.booting(owner, current.durableNumber(owner)));
        continue;
      }
      this.takeAll(actions.environmentOf(owner, local));
      const crash = actions.crashOf(owner);
      if (crash) this.take(crash);
    }
    for (let position = current.firstMessage; position < current.length; position++) {
      this.deliver(current.row[position]!);
    }
  }

  private deliver(id: number): void {
    const local = this.current.localNumber(this.actions.messages.values[id]!.to);
    if (local === DOWN) return;
    const copy = this.actions.knownCopy(id);
    if (copy !== undefined && this.current.holds(copy)) return;
    this.takeAll(this.actions.delivering(id, local));
  }

  private takeAll(actions: readonly Action[]): void {
    for (const action of actions) this.take(action);
  }

  private take(action: Action): void {
    if (this.over) return;
    const { successor } = this;
    successor.copy(this.current);
    if (!successor.apply(action)) return;
    this.edges++;
    this.checkStep(action);
    const id = this.discover(this.currentId, action.id);
    if (this.options.goal && id !== this.currentId) {
      this.edgesFrom.push(this.currentId);
      this.edgesTo.push(id);
    }
  }

  private discover(parent: number, cause: number): number {
    const { successor, seen } = this;
    const id = seen.add(successor.low >>> 0, successor.high >>> 0);
    if (!seen.added) return id;
    this.parents.push(parent);
    this.causes.push(cause);
    this.nextFrontier.push(successor.length);
    this.nextFrontier.append(successor.row, successor.length);
    if (this.options.goal) this.good.push(this.options.goal(successor) ? 1 : 0);
    this.checkState(id);
    if (this.states >= this.maxStates) this.cutOff = true;
    return id;
  }

  private checkState(id: number): void {
    const { successor, checkedViews } = this;
    checkedViews.add(successor.processWord("low"), successor.processWord("high"));
    if (!checkedViews.added) return;
    for (const [invariant, holds] of Object.entries(this.options.invariants)) {
      const reason = holds(successor);
      if (reason !== undefined) this.finding ??= { invariant, reason, path: this.path(id) };
    }
  }

  private checkStep(action: Action): void {
    const { stepInvariants } = this.options;
    if (!stepInvariants || this.alreadyChecked(action)) return;
    for (const [invariant, holds] of Object.entries(stepInvariants)) {
      const reason = holds(this.current, this.successor, action);
      if (reason !== undefined) {
        this.finding ??= { invariant, reason, path: [...this.path(this.currentId), action] };
      }
    }
  }

  /** The state before and the action decide the state after, as far as a View can see it. */
  private alreadyChecked(action: Action): boolean {
    const low = this.current.processWord("low") ^ Math.imul(action.id + 1, 0x9e3779b1);
    const high = this.current.processWord("high") ^ Math.imul(action.id + 1, 0x85ebca77);
    this.checkedSteps.add(low >>> 0, high >>> 0);
    return !this.checkedSteps.added;
  }

  private findStuck(): void {
    const id = stuckState(this.good, this.edgesFrom, this.edgesTo);
    if (id === undefined) return;
    this.finding = { invariant: "goal", reason: "the goal can no longer be reached", path: this.path(id) };
  }

  private path(last: number): Action[] {
    const path: Action[] = [];
    for (let id = last; id > 0; id = this.parents.at(id)) path.push(this.actions.all[this.causes.at(id)]!);
    return path.reverse();
  }
}
