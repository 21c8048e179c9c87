/**
 * The info message of an object, which any program that may write to the bucket can have written.
 *
 * OI1  An info names chunks of its own object only: a delete purges what it names.
 */
import { type FoundInfo, parseObjectInfo } from "../../formats/object-info.ts";
import { tokenOf } from "./object-names.ts";

/** As the object store defines it. */
export interface ObjectInfo {
  readonly name: string;
  readonly bucket: string;
  /** Names the subject of the chunks. */
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  /** `SHA-256=<base64url>` */
  readonly digest: string;
  readonly mtime: string;
  readonly deleted?: boolean | undefined;
  readonly options: { readonly max_chunk_size: number };
}

export type StoredInfo = { readonly revision: number } & (
  | { readonly info: FoundInfo }
  /** What is wrong with what lies in the place of an info. */
  | { readonly unreadable: string }
);

export function parseInfo(name: string, value: Uint8Array, revision: number): StoredInfo {
  const parsed = parseObjectInfo(value);
  if ("problem" in parsed) return { revision, unreadable: parsed.problem };
  const info = parsed.value;
  if (info.name !== name) return { revision, unreadable: "it is the info of another object" };
  if (isOwnId(info)) return { revision, info };
  return { revision, unreadable: "it names chunks that are not of this object" };
}

/** Our ids begin with the object's name; those of other tools are one token. */
function isOwnId({ name, nuid }: FoundInfo): boolean {
  const [first, random, ...more] = nuid.split(".");
  if (more.length > 0) return false;
  const id = random ?? first!;
  return /^[A-Za-z0-9_-]+$/.test(id) && (random === undefined || first === tokenOf(name));
}
