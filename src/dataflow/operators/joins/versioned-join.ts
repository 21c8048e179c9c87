/**
 * Each record of one keyed stream (probe) meets the version of the other one (build) that was valid at its time:
 * Flink's temporal join, TemporalRowTimeJoinOperator.
 *
 * - VJ1 A probe waits until the watermark has come to its time, and meets the build record of its key with the greatest
 *   time that is not above its own; of several of one time, the last that came. So what it meets follows from event
 *   time, and not from which of the two arrived first.
 * - VJ2 Probes leave by their time, those of one time by key group and then as each key's first one came; for one key
 *   and time, in the order in which they came: the same after every restore.
 * - VJ3 Late records of both sides, with a time that is not above the watermark, are counted and take no part.
 * - VJ4 Of the versions of a key, the newest one that the watermark has reached stays, and all that are newer.
 */
import { ABSENT, type StateTable } from "../../../state/contract.ts";
import { type Key, stateTable } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { Rearming } from "../../../state/timers/rearming.ts";
import { TimerSet } from "../../../state/timers/timer-set.ts";
import { type Collect, NO_TIMESTAMP } from "../../source.ts";
import type { OpenOperator, OperatorKind, OperatorServices, Outputs, Slices } from "../contract.ts";
import { stableKey } from "../keyed/key-selector.ts";
import type { LateRecords } from "../windows/late-records.ts";
import { JoinBuffer } from "./join-buffer.ts";
import { checkTime, lateRecordsOf } from "./join-time.ts";
import { type JoinFunction, type JoinSide, PairContext } from "./pair-context.ts";

export interface VersionedJoinDefinition {
  readonly probe: JoinSide;
  readonly build: JoinSide;
  /** Its right record is undefined where there was no version yet. */
  readonly join: JoinFunction;
}

const PROBES = "probes";
const PROBE_TIMES = "probe times";
const VERSIONS = "versions";

export const versionedJoin: OperatorKind<VersionedJoinDefinition> = {
  name: "versionedJoin",
  describe: ({ probe, build }) => ({
    states: { [PROBES]: stateTable(), [PROBE_TIMES]: stateTable(), [VERSIONS]: stateTable() },
    ownStates: true,
    emitsAtEnd: true,
    needsWatermarks: true,
    needsTimestamps: true,
    ports: ["probe", "build"],
    tags: [probe, build].flatMap(({ lateTag }) => lateTag ?? []),
  }),
  open: (definition, services, outputs) => new VersionedJoin(definition, services, outputs),
};

/** Old versions may stay so much longer than they must, so that many go together. */
const GRANULE_MS = 1000;

class VersionedJoin implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly context: PairContext;
  private readonly probes: StateTable;
  /** A timer for each row of `probes`. */
  private readonly probeTimes: TimerSet;
  private readonly versions: JoinBuffer;
  private readonly lateProbes: LateRecords;
  private readonly lateVersions: LateRecords;

  constructor({ probe, build, join }: VersionedJoinDefinition, services: OperatorServices, outputs: Outputs) {
    const { id } = services;
    const state = services.keyedState();
    this.state = state;
    this.context = new PairContext(id, outputs, { join, state });
    this.probes = state.table(PROBES);
    this.probeTimes = new TimerSet({ table: PROBE_TIMES, state, rearming: new Rearming() });
    this.versions = new JoinBuffer({
      state,
      table: VERSIONS,
      staysMs: 0,
      granuleMs: GRANULE_MS,
      keepsNewest: true,
    });
    this.lateProbes = lateRecordsOf(probe, services, state, outputs);
    this.lateVersions = lateRecordsOf(build, services, state, outputs);
    this.inputs = [
      this.inputOf(services, probe, this.lateProbes, (timestamp, value) => this.addProbe(timestamp, value)),
      this.inputOf(services, build, this.lateVersions, (timestamp, value) =>
        this.versions.put(timestamp, value),
      ),
    ];
  }

  restored(): Slices {
    const [versions, times] = [this.versions.restored(), this.probeTimes.order()];
    return { step: () => versions.step() || times.step() };
  }

  /** Old versions go behind the probes that may meet them. */
  advance(watermark: number): Slices | undefined {
    const { probeTimes, versions } = this;
    const due = probeTimes.fire(watermark, (key, time) => this.meet(key, time));
    if (due === undefined && !versions.hasDue(watermark)) return undefined;
    return { step: () => due?.step() === true || versions.removeSome(watermark) };
  }

  /** Records that were late, by their side, and the pairs of key and time at which probes wait. */
  figures(): Readonly<Record<string, number>> {
    return {
      lateProbe: this.lateProbes.late,
      lateBuild: this.lateVersions.late,
      waitingProbes: this.probeTimes.size,
    };
  }

  private inputOf(
    { id, checks, time }: OperatorServices,
    { key }: JoinSide,
    late: LateRecords,
    keep: (timestamp: number, value: unknown) => void,
  ): Collect<unknown> {
    const keyOf = stableKey(id, key, checks);
    return (value, timestamp) => {
      if (!(timestamp > time.watermark && Number.isFinite(timestamp))) {
        checkTime(id, timestamp);
        late.refuse(value, timestamp, "late", timestamp + 1);
        return;
      }
      try {
        this.state.setCurrentKey(keyOf(value));
        keep(timestamp, value);
      } catch (error) {
        throw this.context.failureOf(error);
      }
    };
  }

  private addProbe(timestamp: number, value: unknown): void {
    const { probes } = this;
    probes.setCurrentNamespace(timestamp);
    const held = probes.read();
    if (held !== ABSENT) {
      probes.write([...(held as readonly unknown[]), value]);
      return;
    }
    probes.write([value]);
    this.probeTimes.register(timestamp);
  }

  /** The probes of the current key at this time have waited long enough. */
  private meet(key: Key, time: number): void {
    const { probes, versions, context } = this;
    probes.setCurrentNamespace(time);
    const waiting = probes.read() as readonly unknown[];
    probes.remove();
    const versionTime = versions.times(key).lastUpTo(time);
    const version = versionTime === undefined ? undefined : versions.recordsAt(versionTime)[0];
    try {
      for (const probe of waiting) context.meet(key, probe, time, version, versionTime ?? NO_TIMESTAMP);
    } catch (error) {
      throw context.failureOf(error);
    }
  }
}
