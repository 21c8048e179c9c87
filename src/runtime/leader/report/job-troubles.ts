/**
 * What the processes of one job have been trying in vain, as its leader knows it: its own troubles and those of the
 * workers.
 */
import type { JobTrouble, PingAnswer, WorkerRegistration } from "../../../control/messages.ts";
import type { Trouble } from "../../../dataflow/trouble.ts";
import { kindOfReason, type Troubles } from "../../../observe/troubles.ts";

/** A report is one message, however many workers there are (P10). */
const SHOWN_MAX = 20;
const PLACES_MAX = 10;

/** @param leader its process's troubles and the job's own. @param workers with what they have answered last */
export function troublesOfJob(
  leader: readonly Pick<Troubles, "list">[],
  workers: readonly {
    readonly registration: Pick<WorkerRegistration, "worker">;
    readonly answer: Pick<PingAnswer, "troubles"> | undefined;
  }[],
): JobTrouble[] {
  const ofWorkers = workers.map(({ registration, answer }) => ({
    where: `worker ${registration.worker}`,
    troubles: answer?.troubles ?? [],
  }));
  return jobTroubles([
    { where: "leader", troubles: leader.flatMap((troubles) => troubles.list()) },
    ...ofWorkers,
  ]);
}

/**
 * One entry for each act and kind of reason, with the processes that have it; oldest first.
 * @param places "leader" or a worker's name, with the troubles there
 */
export function jobTroubles(
  places: readonly { readonly where: string; readonly troubles: readonly Trouble[] }[],
): JobTrouble[] {
  const found = new Map<string, JobTrouble>();
  for (const { where, troubles } of places)
    for (const { what, reason, sinceMs } of troubles) {
      const key = `${what}\n${kindOfReason(reason)}`;
      const known = found.get(key);
      found.set(key, {
        what,
        reason,
        sinceMs: Math.min(sinceMs, known?.sinceMs ?? sinceMs),
        where: [...(known?.where ?? []), where].slice(0, PLACES_MAX),
      });
    }
  return [...found.values()].sort((a, b) => a.sinceMs - b.sinceMs).slice(0, SHOWN_MAX);
}
