/**
 * Mutations of `src` that a simulation must find: each makes one promise of the engine untrue. They are texts, so a
 * test holds that each still fits its file.
 */
import { MUTATIONS_OF_STATE } from "./of-state.ts";
import { MUTATIONS_OF_TIME } from "./of-time.ts";

export interface Mutation extends Change {
  readonly name: string;
  /** It is hunted on seeds that draw this (`coverageOf`): others cannot find it. */
  readonly draws?: string;
  /** Changed as well, where two checks protect one promise. */
  readonly also?: readonly Change[];
}

export interface Change {
  readonly file: string;
  /** Occurs once in the file. */
  readonly find: string;
  readonly replace: string;
}

/** What has arrived is not compared with what was sent (RM8). */
const NO_DIGEST: readonly Change[] = [
  {
    file: "src/dataflow/channel/remote/remote-input.ts",
    find: "digestBefore(message) !== this.#digest",
    replace: "digestBefore(message) === -1",
  },
  {
    file: "src/dataflow/channel/remote/remote-input.ts",
    find: "else if (digest !== this.#digest) {",
    replace: "else if (digest === -1) {",
  },
];

export const MUTATIONS: readonly Mutation[] = [
  {
    name: "a row on disk that was changed is not written when it leaves memory",
    draws: "state on disk",
    file: "src/state/disk/row-cache.ts",
    find: "if (row.isDirty) dirty.push(row);",
    replace: "if (!row.isStored) dirty.push(row);",
  },
  {
    name: "what was cut under former numbers of subtasks is taken for that of the present ones",
    draws: "a rescale in mid-run",
    file: "src/runtime/leader/generations/region-generations.ts",
    find: "parallelismOf(planOfCheckpoint(record, latest.checkpointId))",
    replace: "parallelismOf(record.plan)",
  },
  {
    name: "the splits and lists of subtasks that are no more are forgotten",
    draws: "a rescale in mid-run",
    file: "src/job/restore/assignment.ts",
    find: "const all = handles.flatMap(({ entries }) => entries);",
    replace: "const all = handles.slice(0, is).flatMap(({ entries }) => entries);",
  },
  {
    name: "the open transactions of writers that are no more are forgotten",
    draws: "a rescale in mid-run",
    file: "src/job/restore/assignment.ts",
    find: "transactions: committables.filter(({ writer }) => heirOf(writer, parallelism) === index),",
    replace: "transactions: committables.filter(({ writer }) => writer === index),",
  },
  {
    name: "the watermark of an operator is forgotten at its restore",
    draws: "timestamps that rise",
    file: "src/dataflow/time/operator-times.ts",
    find: "GroupTimes.restore(time, state.keyGroups, own);",
    replace: "",
  },
  {
    name: "a split that has waited for slower ones is never read again",
    draws: "sources that keep pace while behind",
    file: "src/runtime/worker/subtask/input/backlog-pace.ts",
    find: "const paused = isBehind && isPaused(watermark, limit)",
    replace: "const paused = this.#paused.has(i) || isBehind && isPaused(watermark, limit)",
  },
  {
    name: "a timer that is restored does not fire",
    file: "src/state/timers/timer-set.ts",
    find: "this.unordered = this.table.rows();",
    replace: "",
  },
  {
    name: "a timer that has fired stays in the state",
    file: "src/state/timers/timer-set.ts",
    find: "    this.table.remove();\n    this.rearming.fires(firstTime);",
    replace: "    this.rearming.fires(firstTime);",
  },
  {
    name: "a window that is restored does not fire",
    file: "src/dataflow/operators/windows/aligned/single-pane.ts",
    find: "for (const pane of this.panes.openNamespaces()) this.times.add(pane as number);",
    replace: "",
  },
  {
    name: "a window with a trigger that is restored does not fire",
    file: "src/dataflow/operators/windows/triggered/triggered-windows.ts",
    find: "if (eventDue !== NEVER) this.due.event.add(eventDue, keyGroup, key);",
    replace: "",
  },
  {
    name: "a window that fires again takes nothing back",
    file: "src/dataflow/operators/windows/triggered/retractions.ts",
    find: "for (const value of before) this.downstream(",
    replace: "for (const value of before.slice(1)) this.downstream(",
  },
  {
    name: "records do not wait for rules",
    file: "src/dataflow/operators/joins/port-wait.ts",
    find: "return this.#isOver ? [] : this.#held;",
    replace: "return [];",
  },
  {
    name: "a session that is restored does not fire",
    draws: "operator session",
    file: "src/dataflow/operators/windows/sessions/session-windows.ts",
    find: "this.due.add(wanted, keyGroup, key);",
    replace: "continue;",
  },
  {
    name: "what a join has kept is not found after a restore",
    draws: "operator intervalJoin",
    file: "src/dataflow/operators/joins/join-buffer.ts",
    find: "this.unknown = this.table.rows();",
    replace: "",
  },
  {
    name: "a request that waits for its answer is not stored",
    file: "src/dataflow/operators/async/stored-requests.ts",
    find: "this.#requests.write(row);",
    replace: "",
  },
  {
    name: "state that belongs to no key is not restored",
    file: "src/state/operator-state.ts",
    find: "restored.restore(decodeEntry(encoded), encoded, migrate);",
    replace: "",
  },
  {
    name: "acknowledged though it is not stored",
    file: "src/runtime/worker/snapshots/subtask-snapshots.ts",
    find: "this.#fail(checkpointId, describeError(error));",
    replace: 'this.#options.tell({ type: "snapshot.stored", checkpointId });',
  },
  {
    name: "a gap in a channel is not noticed",
    file: "src/dataflow/channel/remote/remote-input.ts",
    find: "if (sequence !== next) {",
    replace: "if (sequence < next) {",
    also: NO_DIGEST,
  },
  {
    name: "a frame that comes again is taken again",
    file: "src/dataflow/channel/remote/remote-input.ts",
    find: "if (sequence <= this.#lastSequence) return;",
    replace:
      "if (sequence < this.#lastSequence) return;\n    this.#lastSequence = Math.min(this.#lastSequence, sequence - 1);",
  },
  {
    // Subjects carry the generation (P2), seals its nonce (SE1), and numbers begin at 1 in each (RM1): each of these is
    // enough. Here subject and seal are the same in all, and a reader begins where its writer is.
    name: "a frame of another generation is taken",
    file: "src/dataflow/channel/subjects.ts",
    find: "const base = ofGeneration(job, generation);",
    replace: "const base = ofGeneration(job, generation * 0);",
    also: [
      ...NO_DIGEST,
      {
        file: "src/dataflow/channel/remote/remote-line.ts",
        find: "new Seal(options.nonce, sendTo)",
        replace: 'new Seal("", sendTo)',
      },
      {
        file: "src/dataflow/channel/remote/remote-line.ts",
        find: "new Seal(options.nonce, listenTo)",
        replace: 'new Seal("", listenTo)',
      },
      {
        file: "src/dataflow/channel/remote/remote-input.ts",
        find: "const next = this.#lastSequence + 1;",
        replace: "const next = this.#lastSequence === 0 ? sequence : this.#lastSequence + 1;",
      },
    ],
  },
  {
    name: "a control message without its seal is believed",
    file: "src/control/link.ts",
    find: "return sealed !== undefined && sealed.seal === sealOf(secret, subject, sealed.content, answered);",
    replace:
      "return sealed === undefined || sealed.seal === sealOf(secret, subject, sealed.content, answered);",
  },
  {
    name: "credit is granted twice",
    file: "src/dataflow/channel/remote/remote-input.ts",
    find: "this.#framesTaken++;",
    replace: "this.#framesTaken += 2;",
  },
  {
    name: "some key groups are dropped on restore",
    file: "src/state/snapshot/chunk-restorer.ts",
    find: "return keyGroup >= keyGroups.first",
    replace: "return keyGroup % 8 !== 3 && keyGroup >= keyGroups.first",
  },
  {
    name: "restored transactions are committed newest first",
    file: "src/runtime/worker/sinks/sink-transactions.ts",
    find: "a.checkpointId - b.checkpointId",
    replace: "b.checkpointId - a.checkpointId",
  },
  {
    name: "a barrier does not block its channel",
    file: "src/runtime/worker/subtask/barriers.ts",
    find: "gate.block(channel);",
    replace: "",
  },
  {
    name: "a barrier goes out in front of its records",
    file: "src/dataflow/output.ts",
    find: "sendBehindAll(control: ControlFrame): void {",
    replace:
      'sendBehindAll(control: ControlFrame): void {\n    if (control.kind === "barrier") return this.#channel.send(control);',
  },
  {
    name: "records that a barrier has overtaken are not restored",
    file: "src/runtime/worker/snapshots/channel-state.ts",
    find: "gate.restore(channel, frame);",
    replace: "",
  },
  {
    name: "a source begins again where it was dealt its splits",
    file: "src/dataflow/source.ts",
    find: "position: restored?.[i]?.position",
    replace: "position: undefined",
  },
  {
    name: "a sweep takes live objects",
    file: "src/checkpoint/reachability.ts",
    find: ".filter(({ name }) => !reached.has(name))",
    replace: ".filter(({ name }) => reached.size >= 0 || name)",
  },
  {
    name: "an unknown outcome of a store is taken for stored",
    file: "src/runtime/leader/records/record-writer.ts",
    find: "const answer = await store.compareAndSet(key, value, revision);",
    replace:
      'const answer = await store.compareAndSet(key, value, revision).catch(() => ({ outcome: "stored" as const, revision: revision + 1 }));',
  },
  {
    name: "a commit that is tried again is written again",
    file: "src/connectors/memory-sink.ts",
    find: "const committed = partsCommitted(this.#markers.get(writer)!.marker, checkpointId, parts.length);",
    replace: "const committed = 0;",
  },
  {
    name: "an open transaction is not cut at the barrier",
    file: "src/runtime/worker/sinks/sink-transactions.ts",
    find: "if (preparing === undefined) continue;",
    replace: "if (preparing === undefined || checkpointId % 5 === 3) continue;",
  },
  {
    name: "an unknown outcome of a store is taken for refused",
    file: "src/runtime/leader/records/record-writer.ts",
    find: "writing.failed(error);",
    replace:
      'const now = await store.read(key).catch(() => undefined);\n        if (now === undefined) return "lost";\n        this.#record = parseRecord(now.value, key, store.bucket);\n        this.#revision = now.revision;\n        return "moved";',
  },
  {
    name: "a snapshot sees later values",
    file: "src/state/heap/row-group.ts",
    find: "if (!this.readers.needsBlock(this, block.index, block.cut)) {",
    replace: "if (this.count > 0) {",
  },
  {
    // No output shows it: what is read back is the initial value, as it is where there is no row.
    name: "a row that is cleared stays in the snapshots",
    file: "src/state/handles/value.ts",
    find: "this.table.remove();",
    replace: "this.table.write(this.initialValue());",
  },
  {
    name: "input that has gone is skipped and not counted",
    file: "src/nats/reader/positions/gap-judge.ts",
    find: "this.#ahead.push(range);",
    replace: "",
  },
  {
    name: "a job reads on behind a gap that is to stop it",
    file: "src/nats/reader/positions/gap-judge.ts",
    find: 'if (this.#options.gaps === "fail") {',
    replace: 'if (this.#options.gaps === "fail" && range.from === 0) {',
  },
  {
    name: "a stop reads on",
    file: "src/runtime/worker/subtask/turns.ts",
    find: "this.#held = true;",
    replace: "",
  },
  {
    name: "a region is lost: only the first is ever deployed",
    file: "src/runtime/leader/generations/region-generations.ts",
    find: "this.#latest[region]?.end();",
    replace: "this.#latest[region]?.end();\n    if (region > 0) return;",
  },
  ...MUTATIONS_OF_TIME,
  ...MUTATIONS_OF_STATE,
];
