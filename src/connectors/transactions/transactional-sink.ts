/**
 * An exactly-once sink in a few lines: its author says how to read a marker and how to replace it together with the
 * records of a transaction, in one atomic step of the target. The engine does the rest.
 */
import { checkMembers } from "../../config/members.ts";
import { show } from "../../config/quantity.ts";
import type { ConnectorEnvironment } from "../../dataflow/connector.ts";
import type { Sink, SinkEnvironment } from "../../dataflow/sink.ts";
import { unknownLife } from "../../dataflow/transaction-marker.ts";
import { ConfigurationError, RecordRefusedError } from "../../errors.ts";
import type { TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import { describeValue } from "../../state/described.ts";
import { isCarried } from "../../state/plain-value.ts";
import { decodeEntry, encodeEntry } from "../../state/snapshot/codec.ts";
import type { ByteBlock } from "./byte-block.ts";
import { openMarkedWriter, type RecordForm } from "./marked-writer.ts";
import type { MarkerKey, StagedTransaction, TransactionTarget } from "./target.ts";

/** The definition of a sink over a target with transactions. */
export interface TransactionalSinkDefinition<T> {
  /** "redis", … for messages and the printed plan. */
  readonly kind: string;
  /** The target in words, for messages: "hash counts of redis at localhost:6379". Default: `kind`. */
  readonly place?: string;
  /**
   * Called at submission, with `dryRun` at first: looks for all that commits will need, and throws an EnvironmentError
   * that says what mends it. Default: nothing is looked for.
   */
  check?(environment: ConnectorEnvironment): Promise<void>;
  /**
   * All markers of a job that stand in the target, of any life. With it a job whose record was lost is refused instead
   * of writing its output a second time.
   */
  markersOf?(job: string, environment: ConnectorEnvironment): Promise<readonly TransactionMarker[]>;
  /** Called in each subtask of each generation. */
  open(environment: SinkEnvironment): Promise<TransactionTarget<readonly T[]>>;
}

const MEMBERS = ["kind", "place", "check", "markersOf", "open"];

/**
 * A sink that writes each record exactly once to a target that can write records and replace a marker in one atomic
 * step.
 *
 * Records are kept beside the checkpoints, as state is, until theirs is decided. So they must be values that state can
 * hold.
 *
 * @throws ConfigurationError
 */
export function transactionalSink<T>(definition: TransactionalSinkDefinition<T>): Sink<T> {
  checkMembers(definition, MEMBERS, "transactionalSink", "member");
  const { kind, place = kind } = definition;
  for (const [name, wanted, isIt] of [
    ["kind", "a text", typeof kind === "string" && kind !== ""],
    ["place", "a text", typeof place === "string"],
    ["open", "a function", typeof definition.open === "function"],
  ] as const) {
    if (isIt) continue;
    throw new ConfigurationError(
      name,
      `transactionalSink: ${name} must be ${wanted}, got ${show(definition[name])}`,
    );
  }
  return {
    kind,
    guarantee: "exactly-once",
    async check(environment) {
      await definition.check?.(environment);
      const { unrecorded, job } = environment;
      if (unrecorded === undefined || definition.markersOf === undefined) return;
      const markers = await definition.markersOf(job, environment);
      const refusal = unknownLife(markers, job, place, unrecorded);
      if (refusal !== undefined) throw refusal;
    },
    async open(environment) {
      const target = new DecodingTarget(await definition.open(environment));
      return openMarkedWriter({ form: valueForm, target, place, sink: `the ${kind} sink` }, environment);
    },
  };
}

/** A value in the format of state, behind its length. */
const valueForm: RecordForm<unknown> = {
  append(value: unknown, _timestamp: number, block: ByteBlock): void {
    if (!isCarried(value))
      throw new RecordRefusedError(
        `a record cannot be kept until it is committed: it is, or holds, what state cannot hold (${describeValue(value)})`,
      );
    const bytes = encodeEntry(value);
    block.u32(bytes.length);
    block.bytes(bytes);
  },
};

class DecodingTarget<T> implements TransactionTarget<Uint8Array> {
  readonly #target: TransactionTarget<readonly T[]>;

  constructor(target: TransactionTarget<readonly T[]>) {
    this.#target = target;
  }

  readMarker(key: MarkerKey): Promise<TransactionMarker | undefined> {
    return this.#target.readMarker(key);
  }

  replaceMarker(
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
    transaction: StagedTransaction<Uint8Array> | undefined,
  ): Promise<boolean> {
    return this.#target.replaceMarker(key, expected, next, transaction && decoded<T>(transaction));
  }

  close(): Promise<void> {
    return this.#target.close();
  }
}

function decoded<T>(staged: StagedTransaction<Uint8Array>): StagedTransaction<readonly T[]> {
  return {
    ...staged,
    async *batches() {
      for await (const bytes of staged.batches()) yield valuesIn(bytes) as readonly T[];
    },
  };
}

function valuesIn(bytes: Uint8Array): unknown[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values: unknown[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + view.getUint32(at, true);
    values.push(decodeEntry(bytes.subarray(at + 4, end)));
    at = end;
  }
  return values;
}
