/**
 * What processes ask a leader that keeps checkpoints in its memory, and what it answers: the length of a header, the
 * header as msgpack, and the bytes of an object behind it.
 */
import { z } from "zod";
import { encodeValue } from "../codec.ts";
import { count, type Parsed, text, unpacked } from "../shape.ts";

export type MemoryRequest =
  /** One piece of an object that is being put. The last one makes the object, and its digest is that of all. */
  | {
      readonly type: "put";
      readonly upload: string;
      readonly name: string;
      readonly at: number;
      readonly last: boolean;
    }
  /** Gives an upload up. */
  | { readonly type: "drop"; readonly upload: string }
  /** A piece of an object, from `at` on. */
  | { readonly type: "get"; readonly name: string; readonly at: number; readonly bytesMax: number }
  | { readonly type: "delete"; readonly name: string }
  /** A page of names behind `after`. */
  | {
      readonly type: "list";
      readonly prefix: string;
      readonly after: string;
      readonly unfinished: boolean;
    };

export type MemoryAnswer =
  | { readonly answer: "done" }
  | { readonly answer: "refused"; readonly reason: string }
  | { readonly answer: "missing" }
  /** Size and digest of the whole object; the bytes asked for are behind the header. */
  | { readonly answer: "object"; readonly bytes: number; readonly digest: string }
  | {
      readonly answer: "listed";
      readonly objects: readonly { readonly name: string; readonly bytes: number }[];
      readonly more: boolean;
    };

export interface Framed<Header> {
  readonly header: Header;
  readonly body: Uint8Array;
}

const request: z.ZodType<MemoryRequest> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("put"), upload: text, name: text, at: count, last: z.boolean() }),
  z.object({ type: z.literal("drop"), upload: text }),
  z.object({ type: z.literal("get"), name: text, at: count, bytesMax: count }),
  z.object({ type: z.literal("delete"), name: text }),
  z.object({ type: z.literal("list"), prefix: z.string(), after: z.string(), unfinished: z.boolean() }),
]);

const answer: z.ZodType<MemoryAnswer> = z.discriminatedUnion("answer", [
  z.object({ answer: z.literal("done") }),
  z.object({ answer: z.literal("refused"), reason: text }),
  z.object({ answer: z.literal("missing") }),
  z.object({ answer: z.literal("object"), bytes: count, digest: text }),
  z.object({
    answer: z.literal("listed"),
    objects: z.array(z.object({ name: text, bytes: count })),
    more: z.boolean(),
  }),
]);

const LENGTH_BYTES = 4;
const NOTHING = new Uint8Array();

export function encodeFramed(header: MemoryRequest | MemoryAnswer, body: Uint8Array = NOTHING): Uint8Array {
  const encoded = encodeValue(header);
  const message = new Uint8Array(LENGTH_BYTES + encoded.length + body.length);
  new DataView(message.buffer).setUint32(0, encoded.length);
  message.set(encoded, LENGTH_BYTES);
  message.set(body, LENGTH_BYTES + encoded.length);
  return message;
}

export const parseMemoryRequest = (message: Uint8Array): Parsed<Framed<MemoryRequest>> =>
  framed(request, message);
export const parseMemoryAnswer = (message: Uint8Array): Parsed<Framed<MemoryAnswer>> =>
  framed(answer, message);

/** Never throws. */
function framed<Header>(schema: z.ZodType<Header>, message: Uint8Array): Parsed<Framed<Header>> {
  if (message.length < LENGTH_BYTES) return { problem: "it is too short", newer: false };
  const length = new DataView(message.buffer, message.byteOffset).getUint32(0);
  const end = LENGTH_BYTES + length;
  if (end > message.length) return { problem: "its header is longer than it is", newer: false };
  const parsed = unpacked(schema, message.subarray(LENGTH_BYTES, end));
  return "value" in parsed ? { value: { header: parsed.value, body: message.subarray(end) } } : parsed;
}
