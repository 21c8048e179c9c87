/**
 * One global state as a row of numbers: local states, durable states, budgets, messages in flight (ascending).
 *
 * Owns: how an action changes the row and its fingerprint. One object is filled again and again; nothing is allocated
 * for a step.
 */
import { type Action, type Actions, DOWN } from "../actions.ts";
import type { View } from "../process.ts";

export class GlobalState implements View {
  row = new Uint32Array(64);
  length = 0;
  low = 0;
  high = 0;
  private readonly actions: Actions;
  private readonly processes: number;

  constructor(actions: Actions) {
    this.actions = actions;
    this.processes = actions.processes.length;
  }

  /** Every process down, nothing in flight. */
  reset(): void {
    const { processes, actions } = this;
    this.length = this.firstMessage;
    this.row.fill(DOWN, 0, processes);
    for (const [owner, process] of actions.processes.entries()) {
      this.row[processes + owner] = actions.internDurable(owner, process.durable);
    }
    this.row[2 * processes] = 0;
    this.refingerprint();
  }

  load(source: Uint32Array, offset: number, length: number): void {
    this.reserve(length);
    for (let i = 0; i < length; i++) this.row[i] = source[offset + i]!;
    this.length = length;
  }

  copy(from: GlobalState): void {
    this.load(from.row, 0, from.length);
    this.low = from.low;
    this.high = from.high;
  }

  /** False: a budget is used up; the state is then of no use. */
  apply(action: Action): boolean {
    const { owner, next, operations, consumes } = action;
    if (!this.pay(action.costs)) return false;
    if (consumes >= 0) this.removeMessage(this.position(consumes));
    for (const operation of operations) {
      if (operation.message >= 0) this.addMessage(operation.message);
      else if ("store" in operation) this.replaceDurable(owner, operation.store(this.durableNumber(owner)));
    }
    this.replaceLocal(owner, next);
    if (next === DOWN) this.dropVolatile(owner);
    return true;
  }

  get firstMessage(): number {
    return 2 * this.processes + 1;
  }

  localNumber(owner: number): number {
    return this.row[owner]!;
  }

  durableNumber(owner: number): number {
    return this.row[this.processes + owner]!;
  }

  holds(message: number): boolean {
    const position = this.position(message);
    return position < this.length && this.row[position] === message;
  }

  local<State>(id: string): State | undefined {
    const owner = this.actions.indexOf(id);
    return this.actions.locals[owner]!.values[this.localNumber(owner)] as State | undefined;
  }

  durable<Durable>(id: string): Durable {
    const owner = this.actions.indexOf(id);
    return this.actions.durables[owner]!.values[this.durableNumber(owner)] as Durable;
  }

  /** Words of the processes alone, without messages and budgets: all that a View can see. */
  processWord(half: "low" | "high"): number {
    const { locals, durables } = this.actions;
    let word = 0;
    for (let owner = 0; owner < this.processes; owner++) {
      word ^= locals[owner]![half].at(this.localNumber(owner));
      word ^= durables[owner]![half].at(this.durableNumber(owner));
    }
    return word >>> 0;
  }

  refingerprint(): void {
    const { budgets, messages } = this.actions;
    const budget = this.row[2 * this.processes]!;
    this.low = this.processWord("low") ^ budgets.low.at(budget);
    this.high = this.processWord("high") ^ budgets.high.at(budget);
    for (let i = this.firstMessage; i < this.length; i++) {
      this.low ^= messages.low.at(this.row[i]!);
      this.high ^= messages.high.at(this.row[i]!);
    }
  }

  private pay(costs: readonly number[]): boolean {
    const position = 2 * this.processes;
    for (const budget of costs) {
      const before = this.row[position]!;
      const after = this.actions.spend(before, budget);
      if (after < 0) return false;
      this.row[position] = after;
      this.toggle(this.actions.budgets, before);
      this.toggle(this.actions.budgets, after);
    }
    return true;
  }

  private replaceLocal(owner: number, next: number): void {
    const interner = this.actions.locals[owner]!;
    this.toggle(interner, this.row[owner]!);
    this.toggle(interner, next);
    this.row[owner] = next;
  }

  private replaceDurable(owner: number, next: number): void {
    const interner = this.actions.durables[owner]!;
    this.toggle(interner, this.durableNumber(owner));
    this.toggle(interner, next);
    this.row[this.processes + owner] = next;
  }

  private addMessage(first: number): void {
    let message = first;
    let position = this.position(message);
    while (position < this.length && this.row[position] === message) {
      if (!this.actions.messages.values[message]!.once) return;
      message = this.actions.anotherCopy(message);
      position = this.position(message);
    }
    this.reserve(this.length + 1);
    this.row.copyWithin(position + 1, position, this.length);
    this.row[position] = message;
    this.length++;
    this.toggle(this.actions.messages, message);
  }

  private removeMessage(position: number): void {
    this.toggle(this.actions.messages, this.row[position]!);
    this.row.copyWithin(position, position + 1, this.length);
    this.length--;
  }

  private dropVolatile(owner: number): void {
    const messages = this.actions.messages.values;
    for (let position = this.length - 1; position >= this.firstMessage; position--) {
      const message = messages[this.row[position]!]!;
      if (message.volatile && message.to === owner) this.removeMessage(position);
    }
  }

  /** The place of the message, or the place where it belongs. */
  private position(message: number): number {
    let position = this.length;
    while (position > this.firstMessage && this.row[position - 1]! >= message) position--;
    return position;
  }

  private toggle(
    interner: { low: { at(id: number): number }; high: { at(id: number): number } },
    id: number,
  ): void {
    this.low ^= interner.low.at(id);
    this.high ^= interner.high.at(id);
  }

  private reserve(length: number): void {
    if (length <= this.row.length) return;
    const row = new Uint32Array(length * 2);
    row.set(this.row);
    this.row = row;
  }
}
