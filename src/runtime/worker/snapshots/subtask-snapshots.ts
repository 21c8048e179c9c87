/**
 * The snapshots of one subtask on their way to storage, and what each acknowledgement then says.
 *
 * Owns: cut, encoding beside the records, upload, until it is acknowledged or canceled. Does not own: when one is taken
 * and when it is acknowledged (machines/worker/subtask.ts), what is collected from channels (barriers.ts).
 *
 * SN1  Several snapshots may be on their way, and each of them gives the state at its own cut. The oldest is encoded
 *     first, a younger one while that one waits for the storage.
 * SN2  What was put for a snapshot, or may have been, is remembered until it is acknowledged or discarded: the leader
 *     deletes what it knows by name (P48).
 */
import type {
  ChannelStateHandle,
  CommittableHandle,
  KeyedStateHandle,
  KeyGroupRange,
  ObjectHandle,
  StateHandle,
  SubtaskName,
  SubtaskSnapshot,
} from "../../../../machines/protocol.ts";
import type { LocalCopies } from "../../../checkpoint/local-copies.ts";
import {
  type CheckpointStorage,
  isPartOf,
  objectNames,
  snapshotObjects,
  subtaskPlaceIn,
} from "../../../checkpoint/storage.ts";
import type { Clock } from "../../../clock.ts";
import type { Deployment } from "../../../control/messages.ts";
import type { Chain } from "../../../dataflow/chain.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { describeError, invariant, retryOf } from "../../../errors.ts";
import type { Turns, TurnWork } from "../subtask/turns.ts";
import { type ChannelCollection, ChannelStateUpload } from "./channel-state.ts";
import { type BasedCut, keyedHandle, type SnapshotOfState, StateLayers } from "./state-layers.ts";
import { SnapshotUpload } from "./upload.ts";

export interface SubtaskSnapshotsOptions {
  readonly subtask: SubtaskName;
  readonly keyGroups: KeyGroupRange;
  readonly deployment: Deployment;
  /** What the subtask was restored from. */
  readonly restored: { readonly checkpointId: number; readonly states: readonly StateHandle[] } | undefined;
  readonly storage: CheckpointStorage;
  /** Copies of state on a disk of the machine (P102). Default: there are none. */
  readonly copies?: LocalCopies | undefined;
  readonly inlineBytesMax: number;
  readonly troubles: TroubleWatcher;
  readonly clock: Clock;
  /** The turns in which snapshots are encoded beside the records. */
  readonly turns: Pick<Turns, "beginWork" | "dropWork" | "wake">;
  readonly tell: (
    event:
      | {
          readonly type: "snapshot.stored" | "channels.stored";
          readonly checkpointId: number;
        }
      | { readonly type: "snapshot.failed"; readonly checkpointId: number; readonly reason: string },
  ) => void;
}

export interface Cut {
  readonly checkpointId: number;
  readonly states: readonly BasedCut[];
  /** The state that is small and there at once. */
  readonly inline: readonly StateHandle[];
  /**
   * Called once, when all is cut; resolves when all is durable that the target must have before the acknowledgement.
   */
  readonly flush: () => Promise<unknown>;
  readonly alignmentMs: number;
  /** A time of `Clock.elapsedMs`. */
  readonly startedMs: number;
}

interface TakenSnapshot {
  readonly cut: Cut;
  readonly upload: SnapshotUpload;
  readonly work: TurnWork;
  readonly flushed: Promise<unknown>;
  readonly syncMs: number;
  states: readonly StateHandle[];
}

interface Begun {
  readonly name: string;
  readonly put: Promise<unknown>;
}

export class SubtaskSnapshots {
  readonly #options: SubtaskSnapshotsOptions;
  readonly #taken = new Map<number, TakenSnapshot>();
  readonly #channelUploads = new Map<number, ChannelStateUpload>();
  readonly #channels = new Map<number, readonly ChannelStateHandle[]>();
  readonly #writing: TroubleWatch;
  readonly #layers: StateLayers;
  /** The puts of what is not acknowledged: all that were begun, canceled ones included (SN2). */
  readonly #puts = new Map<number, Begun[]>();

  constructor(options: SubtaskSnapshotsOptions) {
    this.#options = options;
    this.#writing = options.troubles.watch(`writing checkpoints to ${options.storage.description}`);
    const { restored, keyGroups, inlineBytesMax } = options;
    this.#layers = new StateLayers(inlineBytesMax);
    if (restored !== undefined) this.#layers.restored(restored.checkpointId, restored.states, keyGroups);
  }

  has(checkpointId: number): boolean {
    return this.#taken.has(checkpointId);
  }

  /**
   * Cuts the keyed states of the subtask.
   * @param base the completed checkpoint that the snapshot may have pieces in common with; null: none
   */
  cut(chain: Pick<Chain, "snapshot">, base: number | null): readonly BasedCut[] {
    const cuts = this.#layers.cut(chain, base);
    if (base !== null) this.#removeCopies();
    return cuts;
  }

  take(cut: Cut): void {
    const { inlineBytesMax, clock, turns } = this.#options;
    const upload = new SnapshotUpload({
      clock,
      cuts: cut.states,
      storage: this.#remembering(cut.checkpointId, this.#options.copies),
      inlineBytesMax,
      objectName: (part) => objectNames.state({ ...this.#place(cut.checkpointId), part }),
      onRoom: () => turns.wake(),
    });
    const work: TurnWork = {
      step: (deadlineMs) => {
        const more = upload.step(deadlineMs);
        if (!upload.encoded) return more ? "more" : "waiting";
        void this.#awaitStored(taken);
        return "done";
      },
    };
    const flushed = cut.flush();
    const syncMs = this.#options.clock.elapsedMs() - cut.startedMs;
    // It may fail while the state is still being encoded, which then waits for nothing; `#awaitStored` tells.
    flushed.catch(() => undefined);
    const taken: TakenSnapshot = { cut, upload, work, flushed, syncMs, states: [] };
    this.#taken.set(cut.checkpointId, taken);
    // There is nothing to wait for if there is no keyed state.
    if (upload.encoded) void this.#awaitStored(taken);
    else turns.beginWork(work);
  }

  /** Stores the records that the checkpoint's barrier has overtaken: all of them are there. */
  storeChannels(collection: ChannelCollection): void {
    const { checkpointId } = collection;
    const { inlineBytesMax, tell, clock } = this.#options;
    const upload = new ChannelStateUpload({
      clock,
      collected: collection.filled(),
      storage: this.#remembering(checkpointId),
      inlineBytesMax,
      objectName: (part) => objectNames.channels({ ...this.#place(checkpointId), part }),
      onStored: (handles) => {
        this.#channels.set(checkpointId, handles);
        tell({ type: "channels.stored", checkpointId });
      },
      onFailed: (error) => this.#fail(checkpointId, describeError(error)),
    });
    this.#channelUploads.set(checkpointId, upload);
    this.#options.turns.beginWork(upload);
  }

  cancel(checkpointId: number): void {
    const taken = this.#taken.get(checkpointId);
    const channels = this.#channelUploads.get(checkpointId);
    this.#forget(checkpointId);
    taken?.upload.cancel();
    channels?.cancel();
    if (taken !== undefined) this.#options.turns.dropWork(taken.work);
    if (channels !== undefined) this.#options.turns.dropWork(channels);
  }

  /** Gives a snapshot up. Answers the names of what may be in the storage, when nothing is under way any more. */
  async discard(checkpointId: number): Promise<readonly string[]> {
    this.cancel(checkpointId);
    this.#layers.forget(checkpointId);
    const puts = this.#puts.get(checkpointId) ?? [];
    this.#puts.delete(checkpointId);
    await Promise.allSettled(puts.map(({ put }) => put));
    return puts.map(({ name }) => name);
  }

  /** What the subtask hands over; afterwards nothing of it is kept here. */
  acknowledgement(
    checkpointId: number,
    finished: boolean,
    transactions: readonly CommittableHandle[],
  ): SubtaskSnapshot {
    const taken = this.#taken.get(checkpointId);
    invariant(taken !== undefined, `no snapshot of checkpoint ${checkpointId}`);
    const channels = this.#channels.get(checkpointId) ?? [];
    this.#forget(checkpointId);
    this.#puts.delete(checkpointId);
    const { states, syncMs, cut } = taken;
    return {
      subtask: this.#options.subtask,
      states,
      transactions,
      channels,
      finished,
      alignmentMs: cut.alignmentMs,
      syncMs,
      asyncMs: this.#options.clock.elapsedMs() - cut.startedMs - syncMs,
      bytes: this.#ownObjects(checkpointId, { states, channels }).reduce((sum, { bytes }) => sum + bytes, 0),
      persistedInFlightBytes: channels.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  close(): void {
    this.#writing.forget();
    for (const id of [...this.#taken.keys(), ...this.#channelUploads.keys()]) this.cancel(id);
  }

  /** A storage that remembers the names of what is put for a snapshot (SN2). */
  #remembering(checkpointId: number, copies?: LocalCopies): Pick<CheckpointStorage, "put"> {
    return {
      put: (name, content, signal) => {
        const put = this.#options.storage.put(name, copies?.copying(name, content) ?? content, signal);
        const begun = this.#puts.get(checkpointId) ?? [];
        this.#puts.set(checkpointId, [...begun, { name, put }]);
        return put;
      },
    };
  }

  /** What was stored for this checkpoint, and not for one that it has pieces in common with. */
  #ownObjects(checkpointId: number, snapshot: Pick<SubtaskSnapshot, "states" | "channels">): ObjectHandle[] {
    const own = objectNames.checkpoint(this.#place(checkpointId));
    return snapshotObjects(snapshot).filter(({ name }) => name.startsWith(own));
  }

  /** Those that no checkpoint has which may still be restored. */
  #removeCopies(): void {
    const { copies, subtask, deployment } = this.#options;
    if (copies === undefined) return;
    const needed = this.#layers.objects();
    const { incarnation } = deployment;
    copies.remove(
      (name) =>
        (isPartOf(name, subtask) && !needed.has(name)) || subtaskPlaceIn(name)?.incarnation !== incarnation,
    );
  }

  #place(checkpointId: number) {
    const { deployment, subtask } = this.#options;
    return { ...deployment, checkpointId, subtask };
  }

  async #awaitStored(taken: TakenSnapshot): Promise<void> {
    const { checkpointId, inline } = taken.cut;
    try {
      await taken.flushed;
      taken.states = [...inline, ...this.#handlesOf(checkpointId, await taken.upload.stored())];
      if (this.#taken.get(checkpointId) !== taken) return;
      this.#writing.passed();
      this.#options.tell({ type: "snapshot.stored", checkpointId });
    } catch (error) {
      if (this.#taken.get(checkpointId) !== taken) return;
      if (retryOf(error) === "now") this.#writing.failed(error);
      this.#fail(checkpointId, describeError(error));
    }
  }

  #handlesOf(checkpointId: number, snapshots: readonly SnapshotOfState[]): KeyedStateHandle[] {
    const { keyGroups } = this.#options;
    const pieces = this.#layers.stored(checkpointId, snapshots);
    return snapshots.map((one, i) => keyedHandle(one, keyGroups, pieces[i]!));
  }

  #fail(checkpointId: number, reason: string): void {
    this.cancel(checkpointId);
    this.#options.tell({ type: "snapshot.failed", checkpointId, reason });
  }

  #forget(checkpointId: number): void {
    this.#taken.delete(checkpointId);
    this.#channelUploads.delete(checkpointId);
    this.#channels.delete(checkpointId);
  }
}
