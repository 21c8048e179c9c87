/**
 * What a restore makes of values that an older version of their state has stored.
 *
 * Owns: which rows are of which version, and the calls of the user's functions. Does not own: whether a version is
 * known (job/restore/restore-plan.ts), what a row of a kind of state holds (handles/).
 *
 * - YM1 Each value of an older version is migrated once after each restore that brings it, before anything reads it. It
 *   is written as any value is, so the next cut holds it in its present form.
 */
import { OperatorError } from "../../errors.ts";
import type { KeyedBackend, Namespace, StateTable } from "../contract.ts";
import type { KeyGroupRange } from "../key-groups.ts";
import { migrationFrom, unknownVersion } from "./migration.ts";
import type { StateMigrations } from "./state-version.ts";

/** A state that has migrations. */
export interface MigratedState {
  readonly name: string;
  readonly table: StateTable;
  readonly migrate: StateMigrations;
  /** Migrates what a row holds, value by value. */
  readonly row: (value: unknown, namespace: Namespace, migrate: (value: unknown) => unknown) => unknown;
}

export interface RowMigrationsOptions {
  readonly operator: string;
  readonly backend: Pick<KeyedBackend, "setCurrentKey" | "leaveCurrentKey">;
  /** Values are frozen. */
  readonly checks: boolean;
}

interface Older {
  readonly version: string;
  readonly keyGroups: KeyGroupRange;
}

const ROWS_PER_SLICE = 128;

export class RowMigrations {
  readonly #options: RowMigrationsOptions;
  /** What was restored of each state that an older version has stored. */
  readonly #older = new Map<MigratedState, Older[]>();

  constructor(options: RowMigrationsOptions) {
    this.#options = options;
  }

  /**
   * Rows of these key groups come from this version.
   *
   * @param state undefined: it has no migrations
   * @throws OperatorError where there is none from this version
   */
  add(name: string, state: MigratedState | undefined, older: Older): void {
    if (state === undefined || !Object.hasOwn(state.migrate, older.version))
      throw new OperatorError(this.#options.operator, unknownVersion(name, older.version));
    this.#older.set(state, [...(this.#older.get(state) ?? []), older]);
  }

  /** All rows are there: begins to migrate them. */
  begin(): { step(): boolean } {
    const rows = this.#rows();
    return {
      step: () => {
        for (let i = 0; i < ROWS_PER_SLICE; i++) if (rows.next().done === true) return false;
        return true;
      },
    };
  }

  *#rows(): Generator<void, void, undefined> {
    const { backend } = this.#options;
    for (const [state, older] of this.#older) {
      const { table } = state;
      for (const { keyGroup, key, namespace, value } of table.rows()) {
        const from = older.find(({ keyGroups: { first, last } }) => first <= keyGroup && keyGroup <= last);
        if (from !== undefined) {
          backend.setCurrentKey(key);
          table.setCurrentNamespace(namespace);
          table.write(this.#migrated(state, from.version, value, namespace));
        }
        yield;
      }
      table.setCurrentNamespace(undefined);
      backend.leaveCurrentKey();
    }
    this.#older.clear();
  }

  #migrated(state: MigratedState, version: string, value: unknown, namespace: Namespace): unknown {
    const { operator, checks } = this.#options;
    const migrate = migrationFrom(version, state, checks);
    try {
      return state.row(value, namespace, migrate);
    } catch (error) {
      throw new OperatorError(operator, error);
    }
  }
}
