/**
 * An actor as a row of keyed state, and back: it exists as an XState snapshot only while an event is worked off.
 *
 * Owns: the form of a row. Does not own: when an actor is read, written or removed (actors.ts).
 *
 * - SA1 A row holds what is the actor's own: state, context, delays, and of the rest only what is there. All that
 *   follows from the state is made once for all actors that are in it.
 * - SA2 A row that another version of the machine has written goes through that version's `migrate` when it is read. A
 *   state that the machine does not have fails the job; it is refused before that, when a checkpoint is restored.
 */
import type { AnyMachineSnapshot, AnyStateMachine, AnyStateNode, EventObject, StateValue } from "xstate";

/** A delay that is under way; `event` is what the actor gets, and for `after` follows from the id. */
export interface StoredDelay {
  /** XState's; a number for one that has none. */
  readonly id: string | number;
  /** When it is over, in ms since 1970. */
  readonly time: number;
  readonly event: EventObject | null;
}

export interface StoredActor {
  /** The state in one text: `textOf`. */
  readonly state: string;
  readonly context: unknown;
  /** The version of the machine. */
  readonly version: string;
  /** When it got its last event, in ms; 0 where the job has no `idle`. */
  readonly seenMs: number;
  readonly delays: readonly StoredDelay[] | null;
  /** By history state, the ids of what was active. */
  readonly history: Readonly<Record<string, readonly string[]>> | null;
  /** The actor has ended, and is kept. */
  readonly isDone: boolean;
}

/** What an author's `migrate` is given of an actor, and answers. */
export interface MigratedActor {
  readonly value: StateValue;
  readonly context: unknown;
}

export type Migrations = Readonly<Record<string, (actor: MigratedActor) => MigratedActor>>;

/** States of one machine whose snapshots are kept: one with many parallel regions has no end of them. */
const KEPT_MAX = 4096;

export class ActorForms {
  readonly version: string;
  private readonly machine: AnyStateMachine;
  private readonly migrations: Migrations;
  private readonly templates = new Map<string, AnyMachineSnapshot>();

  constructor(machine: AnyStateMachine, version: string, migrations: Migrations) {
    this.machine = machine;
    this.version = version;
    this.migrations = migrations;
  }

  /** The actor's snapshot, of this version. */
  snapshotOf({ state, context, history }: StoredActor): AnyMachineSnapshot {
    return { ...this.template(state), context, historyValue: history === null ? {} : this.nodesIn(history) };
  }

  /** The row of a snapshot. */
  storedOf(snapshot: AnyMachineSnapshot, seenMs: number, delays: readonly StoredDelay[]): StoredActor {
    return {
      state: textOf(snapshot.value),
      context: snapshot.context,
      version: this.version,
      seenMs,
      delays: delays.length === 0 ? null : delays,
      history: idsIn(snapshot.historyValue as Readonly<Record<string, readonly AnyStateNode[]>>),
      isDone: snapshot.status === "done",
    };
  }

  /** @throws Error when there is no `migrate` from its version, or what that answers fits no state */
  migrated(row: StoredActor): StoredActor {
    const migrate = Object.hasOwn(this.migrations, row.version) ? this.migrations[row.version] : undefined;
    if (migrate === undefined)
      throw new Error(
        `an actor was stored by version "${row.version}" of the machine, and this is "${this.version}": give ` +
          `migrate["${row.version}"]`,
      );
    const answer: unknown = migrate({ value: stateOf(row.state), context: row.context });
    const { value, context } = (answer ?? {}) as Partial<MigratedActor>;
    if (typeof value !== "string" && (typeof value !== "object" || value === null))
      throw new Error(`migrate["${row.version}"] must answer { value, context }, with the state as value`);
    const state = textOf(this.template(textOf(value)).value);
    return { ...row, state, context: context ?? {}, version: this.version, history: null };
  }

  private template(state: string): AnyMachineSnapshot {
    const known = this.templates.get(state);
    if (known !== undefined) return known;
    let made: AnyMachineSnapshot;
    try {
      made = this.machine.resolveState({ value: stateOf(state), context: {} });
    } catch (cause) {
      throw new Error(
        `an actor is in state ${state}, which its machine does not have: give the machine another version, and say with ` +
          "migrate what becomes of its actors",
        { cause },
      );
    }
    if (this.templates.size >= KEPT_MAX) this.templates.clear();
    this.templates.set(state, made);
    return made;
  }

  private nodesIn(history: NonNullable<StoredActor["history"]>): Record<string, AnyStateNode[]> {
    const nodes = ([id, ids]: readonly [string, readonly string[]]) =>
      [id, ids.map((one) => this.machine.getStateNodeById(`#${one}`))] as const;
    return Object.fromEntries(Object.entries(history).map(nodes));
  }
}

function idsIn(history: Readonly<Record<string, readonly AnyStateNode[]>>): StoredActor["history"] {
  for (const _ in history)
    return Object.fromEntries(
      Object.entries(history).map(([id, nodes]) => [id, nodes.map((node) => node.id)]),
    );
  return null;
}

/** The name of the state, JSON of one that has parts. */
function textOf(value: StateValue): string {
  return typeof value === "string" && !/^["{]/.test(value) ? value : JSON.stringify(value);
}

function stateOf(state: string): StateValue {
  return /^["{]/.test(state) ? (JSON.parse(state) as StateValue) : state;
}
