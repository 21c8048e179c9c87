/** Records of channels on their way to storage and back. */

import { expect, test } from "vitest";
import type { ChannelStateHandle } from "../../../../machines/protocol.ts";
import { systemClock } from "../../../../src/clock.ts";
import type { InFlightRecords, RecordsFrame } from "../../../../src/dataflow/channel/frame.ts";
import { createLocalChannel } from "../../../../src/dataflow/channel/local-channel.ts";
import { InputGate } from "../../../../src/dataflow/input-gate.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import {
  ChannelStateUpload,
  restoreChannels,
} from "../../../../src/runtime/worker/snapshots/channel-state.ts";
import { records } from "../../../contracts/suites/channel.contract.ts";

const ids = [0, 1].map((from) => ({ edge: "in", from, to: 0 }));
const MIB = 1024 * 1024;

function stored(
  storage: MemoryStorage,
  collected: readonly (readonly InFlightRecords[])[],
): Promise<readonly ChannelStateHandle[]> {
  return new Promise((resolve, reject) => {
    const upload = new ChannelStateUpload({
      clock: systemClock,
      collected: collected.map((of, channel) => ({ id: ids[channel]!, records: [...of] })),
      storage,
      inlineBytesMax: 100,
      objectName: (part) => `part-${part}`,
      onStored: resolve,
      onFailed: reject,
    });
    while (upload.step(Number.POSITIVE_INFINITY) === "more");
  });
}

test("more of one channel than an object should hold goes into several, and comes back in order", async () => {
  const storage = new MemoryStorage();
  const large = ["a", "b", "c", "d", "e"].map((letter) => records(letter.repeat(6 * MIB)));
  const handles = await stored(storage, [[records("small")], large]);
  expect(handles.map(({ from, records: count }) => [from, count])).toEqual([
    [0, 1],
    [1, 2],
    [1, 2],
    [1, 1],
  ]);
  expect(new Set(handles.map(({ object }) => object!.name)).size).toBe(3);
  const gate = new InputGate(ids.map(() => createLocalChannel().input));
  const receiverOf = () =>
    ({ partitioner: { kind: "rebalance" }, index: 0, parallelism: 1, maxParallelism: 128 }) as const;
  await restoreChannels(gate, ids, handles, receiverOf, (object) => storage.get(object), systemClock);
  const first: unknown[] = [];
  for (let next = gate.nextFrame(); next !== undefined; next = gate.nextFrame())
    first.push([next.channelIndex, ((next.frame as RecordsFrame).values[0] as string)[0]]);
  expect(first).toEqual([[0, "s"], ...["a", "b", "c", "d", "e"].map((letter) => [1, letter])]);
});
