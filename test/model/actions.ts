/**
 * Steps of processes as actions over small numbers.
 *
 * Owns: the interned values of one check, and the memo of every step. A process's own function runs once for each
 * pair of local state and event, however many global states there are; all else is arithmetic on numbers.
 *
 * A step becomes one action for its whole and one for each point inside it at which the process may crash.
 */
import { canonical, Interner, Words } from "./checker/interner.ts";
import type { Effect, Event, ProcessModel, Step, StepTaken } from "./process.ts";

/** Local state number of a process that is not running. */
export const DOWN = 0;
/** The budget that every crash is paid from; `crashes.<process>` limits one process further. */
const CRASHES = "crashes";
const NOTHING: readonly Action[] = [];

export interface Message {
  readonly to: number;
  readonly event: Event;
  readonly once: boolean;
  readonly volatile: boolean;
  /** Position among the messages of the same receiver: keeps the rows of the memo short. */
  readonly slot: number;
  /** The number of the copy; each copy of a message that is in flight several times is a message of its own. */
  readonly copy: number;
}

/** Sends a message, or replaces the number of the process's durable state. */
export type Operation =
  | { readonly message: number }
  | { readonly message: -1; readonly store: (durable: number) => number };

export interface Action extends StepTaken {
  readonly id: number;
  readonly owner: number;
  /** Message that this action takes out of the network, or -1. */
  readonly consumes: number;
  /** Budgets that it is paid from. */
  readonly costs: readonly number[];
  readonly operations: readonly Operation[];
  /** Local state afterwards. */
  readonly next: number;
  readonly note: string;
}

type Origin = Pick<Action, "owner" | "process" | "kind" | "consumes" | "costs"> & { readonly event?: Event };

export class Actions {
  readonly processes: readonly ProcessModel[];
  readonly locals: readonly Interner<unknown>[];
  readonly durables: readonly Interner<unknown>[];
  readonly messages: Interner<Message>;
  readonly budgets: Interner<readonly number[]>;
  readonly all: Action[] = [];
  /** How often a process's own function was called. */
  modelCalls = 0;

  private readonly indexes: ReadonlyMap<string, number>;
  private readonly budgetNames: readonly string[];
  /** What a crash of each process costs. */
  private readonly crashCosts: readonly (readonly number[])[];
  private readonly crashes: readonly (Action | undefined)[];
  private readonly boots: Action[][][];
  private readonly environments: Action[][][];
  private readonly deliveries: (readonly Action[])[][][];
  private readonly slotsUsed: number[];
  private readonly spent: number[][] = [];
  private readonly copies: number[] = [];

  constructor(processes: readonly ProcessModel[], budgets: Readonly<Record<string, number>>) {
    const words = new Words();
    this.processes = processes;
    this.indexes = new Map(processes.map((process, index) => [process.id, index]));
    if (this.indexes.size !== processes.length) throw new Error("two processes have the same id");
    this.locals = processes.map(({ id }) => new Interner(`local states of ${id}`, words));
    this.durables = processes.map(({ id }) => new Interner(`durable states of ${id}`, words));
    this.messages = new Interner("messages", words);
    this.budgets = new Interner("states of the budgets", words);
    this.budgetNames = Object.keys(budgets);
    this.boots = processes.map(() => []);
    this.environments = processes.map(() => []);
    this.deliveries = processes.map(() => []);
    this.slotsUsed = processes.map(() => 0);
    for (const locals of this.locals) locals.of("down", undefined);
    this.internBudgets(Object.values(budgets));
    this.crashCosts = processes.map((process) => this.crashCostsOf(process));
    this.crashes = processes.map((process, owner) => this.crash(process, owner));
  }

  indexOf(id: string): number {
    const index = this.indexes.get(id);
    if (index === undefined) throw new Error(`no process '${id}' in this model`);
    return index;
  }

  internDurable(owner: number, durable: unknown): number {
    return this.durables[owner]!.of(canonical(durable), durable);
  }

  crashOf(owner: number): Action | undefined {
    return this.crashes[owner];
  }

  booting(owner: number, durable: number): readonly Action[] {
    const memo = this.boots[owner]!;
    memo[durable] ??= this.boot(owner, durable);
    return memo[durable];
  }

  environmentOf(owner: number, local: number): readonly Action[] {
    const memo = this.environments[owner]!;
    memo[local] ??= this.meet(owner, local);
    return memo[local];
  }

  delivering(id: number, local: number): readonly Action[] {
    const message = this.messages.values[id]!;
    const memo = this.deliveries[message.to]!;
    memo[local] ??= [];
    const row = memo[local];
    row[message.slot] ??= this.receive(id, message, local);
    return row[message.slot]!;
  }

  /** The budget state after paying once from the given budget; -1: nothing is left. */
  spend(state: number, budget: number): number {
    this.spent[state] ??= [];
    const memo = this.spent[state];
    memo[budget] ??= this.pay(state, budget);
    return memo[budget];
  }

  /** The message that stands for one more copy of a message already in flight. */
  anotherCopy(id: number): number {
    this.copies[id] ??= this.internCopy(this.messages.values[id]!);
    return this.copies[id];
  }

  /** Only if a further copy was ever made: the number of the next copy. */
  knownCopy(id: number): number | undefined {
    return this.copies[id];
  }

  private boot(owner: number, durable: number): Action[] {
    const process = this.processes[owner]!;
    this.modelCalls++;
    const origin: Origin = { owner, process: process.id, kind: "boots", consumes: -1, costs: [] };
    return process.boot(this.durables[owner]!.values[durable]).flatMap((step) => this.compile(origin, step));
  }

  private meet(owner: number, local: number): Action[] {
    const process = this.processes[owner]!;
    const events = process.environment?.(this.locals[owner]!.values[local]) ?? [];
    return events.flatMap((event) => {
      const cost = process.cost?.(event);
      const costs = cost === undefined ? [] : [this.budgetIndex(cost)];
      return this.step(
        { owner, process: process.id, kind: "meets", event, consumes: -1, costs },
        local,
        event,
      );
    });
  }

  private receive(id: number, message: Message, local: number): readonly Action[] {
    const process = this.processes[message.to]!;
    const { event, to: owner } = message;
    const consumes = message.once ? id : -1;
    const origin: Origin = { owner, process: process.id, kind: "receives", event, consumes, costs: [] };
    const actions = this.step(origin, local, event);
    if (actions.length > 0) return actions;
    return consumes < 0
      ? NOTHING
      : [this.add({ ...origin, operations: [], effects: [], next: local, note: "" })];
  }

  private step(origin: Origin, local: number, event: Event): Action[] {
    this.modelCalls++;
    const { owner, consumes, costs } = origin;
    const steps = this.processes[owner]!.step(this.locals[owner]!.values[local], event);
    const changes = (action: Action) =>
      action.next !== local || action.operations.length > 0 || consumes >= 0 || costs.length > 0;
    return steps.flatMap((step) => this.compile(origin, step)).filter(changes);
  }

  private compile(origin: Origin, step: Step<unknown>): Action[] {
    const { owner } = origin;
    const next = this.locals[owner]!.of(this.processes[owner]!.key(step.state), step.state);
    const operations = step.effects.map((effect) => this.operation(owner, effect));
    const note = step.note ?? "";
    return [
      this.add({ ...origin, operations, effects: step.effects, next, note }),
      ...this.crashesInside(origin, step, operations),
    ];
  }

  /** A crash before the first effect differs from a crash before the step only if the step consumed something. */
  private crashesInside(origin: Origin, step: Step<unknown>, operations: readonly Operation[]): Action[] {
    const { owner } = origin;
    const crashCosts = this.crashCosts[owner]!;
    if (crashCosts.length === 0) return [];
    const crashes: Action[] = [];
    for (let done = origin.consumes < 0 ? 1 : 0; done < operations.length; done++) {
      crashes.push(
        this.add({
          ...origin,
          costs: [...origin.costs, ...crashCosts],
          operations: operations.slice(0, done),
          effects: step.effects.slice(0, done),
          next: DOWN,
          note: [step.note, `crashes after ${done} of ${operations.length} effects`]
            .filter(Boolean)
            .join(", "),
        }),
      );
    }
    return crashes;
  }

  private crash(process: ProcessModel, owner: number): Action | undefined {
    const costs = this.crashCosts[owner]!;
    if (costs.length === 0) return undefined;
    const origin: Origin = { owner, process: process.id, kind: "crashes", consumes: -1, costs };
    return this.add({ ...origin, operations: [], effects: [], next: DOWN, note: "" });
  }

  private operation(owner: number, effect: Effect): Operation {
    if (effect.kind === "send") {
      return {
        message: this.internMessage(this.indexOf(effect.to), effect.message, effect.once, effect.volatile),
      };
    }
    const memo: number[] = [];
    const apply = (durable: number): number => {
      const before = this.durables[owner]!.values[durable] as never;
      return this.internDurable(
        owner,
        "update" in effect ? effect.update(before) : { ...(before as object), ...effect.patch },
      );
    };
    const store = (durable: number): number => {
      memo[durable] ??= apply(durable);
      return memo[durable];
    };
    return { message: -1, store };
  }

  private internMessage(to: number, event: Event, once = false, volatile = false, copy = 1): number {
    const key = `${to} ${once ? 1 : 0}${volatile ? 1 : 0} ${copy} ${canonical(event)}`;
    const slot = this.slotsUsed[to]!;
    const known = this.messages.values.length;
    const id = this.messages.of(key, { to, event, once, volatile, slot, copy });
    if (id === known) this.slotsUsed[to] = slot + 1;
    return id;
  }

  private internCopy({ to, event, once, volatile, copy }: Message): number {
    return this.internMessage(to, event, once, volatile, copy + 1);
  }

  private internBudgets(left: readonly number[]): number {
    return this.budgets.of(left.join(), left);
  }

  /** None: the process cannot crash at all. */
  private crashCostsOf({ id, neverCrashes }: ProcessModel): number[] {
    if (neverCrashes) return [];
    const names = [CRASHES, `${CRASHES}.${id}`];
    return names.map((name) => this.budgetNames.indexOf(name)).filter((index) => index >= 0);
  }

  private budgetIndex(name: string): number {
    const index = this.budgetNames.indexOf(name);
    if (index < 0) throw new Error(`no budget '${name}' was given to the check`);
    return index;
  }

  private pay(state: number, budget: number): number {
    const left = this.budgets.values[state]!;
    if (left[budget] === 0) return -1;
    return this.internBudgets(left.map((amount, index) => (index === budget ? amount - 1 : amount)));
  }

  private add(action: Omit<Action, "id">): Action {
    const added = { ...action, id: this.all.length };
    this.all.push(added);
    return added;
  }
}
