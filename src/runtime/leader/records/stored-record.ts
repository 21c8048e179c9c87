/** Reading a job's record, for leaders and commands. */
import type { JobRecord } from "../../../../machines/protocol.ts";
import { jobKey, parseRecord } from "../../../formats/job-record.ts";
import type { RecordStore, StoredRecord } from "../../record-store.ts";

/** undefined: there is none. @throws RecordUnreadableError */
export async function readRecord(
  store: RecordStore | undefined,
  job: string,
): Promise<(Omit<StoredRecord, "value"> & { readonly record: JobRecord }) | undefined> {
  const key = jobKey(job);
  const found = await store?.read(key);
  if (store === undefined || found === undefined) return undefined;
  return { revision: found.revision, record: parseRecord(found.value, key, store.bucket) };
}
