/**
 * Streams that other clients know as buckets: "KV_totals" is the KV bucket totals (ADR-8), "OBJ_files" the object store
 * files (ADR-20). The name alone tells.
 */
import { DiscardPolicy, type StreamConfig } from "@nats-io/jetstream";

export interface BucketStream {
  /** The noun of the `nats` tool. */
  readonly kind: "kv" | "object";
  readonly bucket: string;
  /** What its clients write to. */
  readonly subjects: readonly string[];
  /** The stream's settings as the bucket's clients make it, with one value for each key. */
  readonly settings: Partial<StreamConfig>;
}

/** undefined: a stream like any other. */
export function bucketStream(stream: string): BucketStream | undefined {
  const [, prefix, bucket = ""] = /^(KV|OBJ)_([-\w]+)$/.exec(stream) ?? [];
  const settings = { discard: DiscardPolicy.New, allow_direct: true, allow_rollup_hdrs: true };
  if (prefix === "KV")
    return {
      kind: "kv",
      bucket,
      subjects: [`$KV.${bucket}.>`],
      settings: { ...settings, max_msgs_per_subject: 1, deny_delete: true },
    };
  if (prefix === "OBJ")
    return { kind: "object", bucket, subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`], settings };
  return undefined;
}
