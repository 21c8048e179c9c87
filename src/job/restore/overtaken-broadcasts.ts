/**
 * Broadcast records that a barrier has overtaken, under another number of receivers (P103): a pure function.
 *
 * What a broadcast record has changed in the state of keys, it has changed where the subtask had it already, and not
 * where it still waits. One subtask that gets keys from both cannot give it to some of them only.
 */
import type { GraphPlan, Manifest } from "../../../machines/protocol.ts";
import { endsOf } from "./rescaled-times.ts";

/** Why state cannot be dealt out to the receivers that a broadcast edge has now: the former ones differ. */
export function unevenBroadcasts(
  { plan, manifest }: { readonly plan: GraphPlan; readonly manifest: Pick<Manifest, "subtasks"> },
  to: GraphPlan,
): string[] {
  return plan.edges.flatMap(({ id, to: vertex, partitioner }) => {
    const receivers = endsOf(plan, id)!.receivers;
    const now = endsOf(to, id)?.receivers ?? receivers;
    if (partitioner !== "broadcast" || now === receivers) return [];
    const running = manifest.subtasks.filter(
      ({ subtask, finished }) => !finished && subtask.slice(0, subtask.lastIndexOf("/")) === vertex,
    );
    const left = running.map(({ channels }) => waiting(channels.filter(({ edge }) => edge === id)));
    if (left.every((one) => one === left[0])) return [];
    const { operators } = plan.vertices.find((one) => one.id === vertex)!;
    const operator = operators[0]?.id ?? vertex;
    return [
      `operator ${operator} was cut while some of its subtasks had had broadcast records that others had not, as an unaligned checkpoint may be: restore it with parallelism ${receivers} and take a savepoint, which is aligned, before you change it; or take another checkpoint`,
    ];
  });
}

/** How many records of each sender wait. */
function waiting(channels: readonly { readonly from: number; readonly records: number }[]): string {
  const counts = new Map<number, number>();
  for (const { from, records } of channels) counts.set(from, (counts.get(from) ?? 0) + records);
  return JSON.stringify([...counts].filter(([, records]) => records > 0).sort(([a], [b]) => a - b));
}
