/**
 * Bytes of control messages, and which other processes may have sent them (P52).
 *
 * Owns: the envelope, and telling what is none: the acknowledgement of a stream that captures our subjects, the answer
 * of a service that listens there, another version of Tidemark, anything else. Does not own: what a message means
 * (shapes.ts), what is done about a foreign message (link.ts).
 *
 * An envelope holds either the `message` itself or names the `object` that holds it. A sealed message is an envelope
 * whose `content` are the bytes of such an envelope (seal.ts). A `format` in it is one that this version does not know;
 * the present one has none.
 */
import { isUtf8 } from "node:buffer";
import type { ObjectHandle } from "../checkpoint/storage.ts";
import type { Reply } from "../dataflow/channel/bus.ts";
import { CLONE_TAG, decodeValue, encodeValue } from "../formats/codec.ts";
import { handleShape } from "../formats/shape.ts";
import { shellCommand } from "../shell-command.ts";

export type Envelope =
  | ((
      | { readonly message: unknown }
      | {
          readonly object: ObjectHandle;
        }
    ) & { readonly sealed?: Sealed })
  /** What the bytes are instead, in words, and what the user can do about it. */
  | { readonly foreign: string };

/** What a message was sealed with, and over which bytes. */
export interface Sealed {
  readonly seal: string;
  readonly content: Uint8Array;
}

const SHOWN_CHARS_MAX = 80;
const OTHER_PREFIX = "give every process of the cluster another --prefix";

export function encodeMessage(message: unknown): Uint8Array {
  return encodeValue({ message });
}

export function encodeDetour(object: ObjectHandle): Uint8Array {
  return encodeValue({ object });
}

/** @param content what `encodeMessage` or `encodeDetour` has made */
export function encodeSealed({ seal, content }: Sealed): Uint8Array {
  return encodeValue({ seal, content });
}

/** Reads an envelope. Never throws, whatever the bytes are. */
export function decodeEnvelope(reply: Reply): Envelope {
  const outer = decodePlain(reply);
  if (!("content" in outer)) return outer;
  const inner = decodePlain(bare(outer.content));
  if ("content" in inner) return { foreign: "a sealed message in a sealed message" };
  return "foreign" in inner ? inner : { ...inner, sealed: outer };
}

function decodePlain({ body, header }: Reply): Envelope | Sealed {
  const serviceError = header("Nats-Service-Error") || header("Nats-Service-Error-Code");
  if (serviceError !== "") return { foreign: service(`the error ${shown(serviceError)}`) };
  if (body.length === 0) return { foreign: "an empty message" };
  if (body[0] === CLONE_TAG) return { foreign: describeBytes(body) };
  let value: unknown;
  try {
    value = decodeValue(body);
  } catch {
    return { foreign: describeBytes(body) };
  }
  if (!isPlainObject(value)) return { foreign: describeBytes(body) };
  if (value.format !== undefined)
    return {
      foreign: `a message of another version of Tidemark (format ${shown(String(value.format))}); run one version everywhere, or ${OTHER_PREFIX}`,
    };
  if (typeof value.seal === "string" && value.content instanceof Uint8Array)
    return { seal: value.seal, content: value.content };
  if (handleShape.problem(value.object) === undefined) return { object: value.object as ObjectHandle };
  return "message" in value ? { message: value.message } : { foreign: describeBytes(body) };
}

/** A message as a subscriber gets it: it has no headers that matter. */
export const bare = (body: Uint8Array): Reply => ({ body, header: () => "" });

function describeBytes(body: Uint8Array): string {
  const text = new TextDecoder().decode(body.subarray(0, 4096));
  const value = body.length > 4096 ? undefined : parsed(text);
  if (isPlainObject(value)) {
    const { stream, seq, error, type } = value;
    // PubAck of ADR-1; an error has the stream where the server knows it.
    if (typeof stream === "string" && stream !== "" && (typeof seq === "number" || error !== undefined))
      return capturedBy(stream);
    if (typeof type === "string" && type.startsWith("io.nats.micro.")) return service(shown(type));
  }
  // No byte of it is shown: it may be a record of the user's that went astray.
  if (isPlainObject(value)) return service(`${body.length} bytes of JSON`);
  return service(`${body.length} bytes of ${isUtf8(body) ? "text" : "no text"}`);
}

/** @param stream that has answered a request with its acknowledgement */
function capturedBy(stream: string): string {
  const edit = shellCommand("nats", "stream", "edit", stream, "--subjects=…");
  return (
    `stream ${stream} captures this subject and acknowledges what is published there; take our subjects out of it with ` +
    `${edit}, or ${OTHER_PREFIX}`
  );
}

function service(said: string): string {
  return `a process of another kind listens or publishes there (${said}); take it off this subject, or ${OTHER_PREFIX}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text as JSON, so that control characters do no harm; cut. */
function shown(text: string): string {
  const cut = text.length <= SHOWN_CHARS_MAX ? text : `${text.slice(0, SHOWN_CHARS_MAX)}…`;
  return JSON.stringify(cut).replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\ufeff]/g, "\ufffd");
}
