/**
 * What a subtask hands over when it acknowledges a checkpoint (machines/snapshot.ts): in a message and in a manifest.
 */
import { z } from "zod";
import type { Distribution, KeyGroupRange, StateHandle, SubtaskSnapshot } from "../../machines/protocol.ts";
import { bytes, count, object, text } from "./shape.ts";

const keyGroups: z.ZodType<KeyGroupRange> = z
  .object({ first: count, last: count })
  .refine(({ first, last }) => first <= last, "the first key group lies behind the last");

const piece = z
  .object({
    content: z.union([bytes, object]),
    segments: z.array(z.object({ keyGroups, offset: count, bytes: count })),
    changes: z.literal(true).optional(),
  })
  .check(({ value: { content, segments }, issues }) => {
    const end = content instanceof Uint8Array ? content.byteLength : content.bytes;
    for (const [i, input] of segments.entries())
      if (input.offset + input.bytes > end)
        issues.push({
          ...{ code: "custom", message: `ends behind the ${end} bytes of its content` },
          ...{ input, path: ["segments", i] },
        });
  });

const keyed = z.object({
  kind: z.literal("keyed"),
  operator: text,
  state: text,
  keyGroups,
  version: text.optional(),
  serializer: text.optional(),
  pieces: z.array(piece),
});

export const distribution: z.ZodType<Distribution> = z.enum(["list", "union", "broadcast", "own"]);

const state: z.ZodType<StateHandle> = z.discriminatedUnion("kind", [
  keyed,
  z.object({
    kind: z.literal("operator"),
    operator: text,
    state: text,
    distribution,
    subtaskIndex: count,
    equalIn: z.array(count).optional(),
    version: text.optional(),
    entries: z.array(bytes),
  }),
]);

const transaction = z.object({
  incarnation: text,
  sink: text,
  writer: count,
  checkpointId: count,
  staged: z.array(object),
  // Only the sink understands it, and looks at it before it commits.
  detail: z.unknown(),
});

const channel = z
  .object({
    edge: text,
    from: count,
    to: count,
    records: count,
    bytes: count,
    inline: bytes.nullable(),
    object: object.nullable(),
    offset: count,
    rescaled: z.literal(true).optional(),
  })
  .check(({ value, issues }) => {
    const problem = (message: string, input: unknown, field: string) =>
      issues.push({ code: "custom", message, input, path: [field] });
    const { inline, object: stored } = value;
    if ((inline === null) === (stored === null))
      problem("either the records are inline, or an object holds them", stored, "object");
    else if (inline !== null && inline.byteLength !== value.bytes)
      problem(`not the ${inline.byteLength} bytes of the records that are inline`, value.bytes, "bytes");
    else if (stored !== null && value.offset + value.bytes > stored.bytes)
      problem(`with the offset it ends behind the ${stored.bytes} bytes of the object`, value.bytes, "bytes");
  });

export const snapshot: z.ZodType<SubtaskSnapshot> = z.object({
  subtask: text,
  states: z.array(state),
  transactions: z.array(transaction),
  channels: z.array(channel),
  finished: z.boolean(),
  alignmentMs: z.number(),
  syncMs: z.number(),
  asyncMs: z.number(),
  bytes: count,
  persistedInFlightBytes: count,
});
