/** Whether a coordinator leads, as the leases in the record store tell: also where no coordinator answers. */
import { systemClock } from "../../clock.ts";
import { parseLease } from "../../formats/lease.ts";
import { leaseKey } from "../../runtime/leader/lease.ts";
import { LeaseWatch } from "../../runtime/leader/lease-watch.ts";
import type { RecordStore } from "../../runtime/record-store.ts";
import { defaultTimings } from "../../runtime/timings.ts";
import type { ClusterView } from "../assembly.ts";

/** Takes as long as a lease lasts, when one is held by a process that is gone. */
export async function isLed(view: Pick<ClusterView, "findRecords">, job: string): Promise<boolean> {
  const store = await view.findRecords();
  if (store === undefined) return false;
  const watch = new LeaseWatch({ store, clock: systemClock, leaseMs: defaultTimings.leaseMs });
  const holders = await Promise.all([leaseKey(), leaseKey(job)].map((key) => watch.livingHolder(key)));
  return holders.some((holder) => holder !== undefined);
}

/** The ids of the coordinators whose leases count for this job, that of its own run first; they may be gone. */
export async function leaseHolders(store: RecordStore | undefined, job: string): Promise<readonly string[]> {
  const entries = await Promise.all([leaseKey(job), leaseKey()].map((key) => store?.read(key)));
  return entries.flatMap((entry) => {
    const lease = entry === undefined ? undefined : parseLease(entry.value);
    return lease !== undefined && "value" in lease && !lease.value.released ? [lease.value.holder] : [];
  });
}
