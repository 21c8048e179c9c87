/** What a run tells at its end. */
import type { FaultCounts } from "./disturbing/faults.ts";

export interface ChaosReport extends FaultCounts {
  /** What is disturbed, and whether its barriers overtake records, which the seed decides. */
  readonly job: string;
  readonly unaligned: boolean;
  readonly seed: number;
  readonly seconds: number;
  readonly records: number;
  readonly rescales: number;
  readonly recoveries: number;
  readonly checkpointsCompleted: number;
  readonly checkpointsExpired: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly outOfOrder: number;
  readonly wrong: number;
  /** Processes that ended although the run had not killed them. */
  readonly crashes: number;
  readonly finished: boolean;
  /** The time from the end of the faults to the end of the job. */
  readonly finishedAfterMs: number;
  /** The time from peace to the next completed checkpoint: how often measured, and the longest. */
  readonly peaces: number;
  readonly recoveryMsMax: number;
  /** Some are rolled up before the observer looks. */
  readonly markersSeen: number;
  readonly findings: readonly string[];
  /** Logs of all processes, story and event feed; removed when all is well. */
  readonly directory: string;
}

export function succeeded(report: ChaosReport): boolean {
  const { lost, duplicated, outOfOrder, wrong, finished, findings } = report;
  return finished && lost + duplicated + outOfOrder + wrong + findings.length === 0;
}

/** The sums of all runs, each with what it has found itself in `runs`. */
export function together(
  runs: readonly ChaosReport[],
): ChaosReport & { readonly runs: readonly ChaosReport[] } {
  const sum = (field: (report: ChaosReport) => number): number =>
    runs.reduce((so, report) => so + field(report), 0);
  const max = (field: (report: ChaosReport) => number): number => Math.max(0, ...runs.map(field));
  const failed = runs.filter((report) => !succeeded(report));
  return {
    job: runs.map(({ job }) => job).join(),
    unaligned: runs.some(({ unaligned }) => unaligned),
    seed: runs[0]!.seed,
    seconds: sum(({ seconds }) => seconds),
    records: sum(({ records }) => records),
    rescales: sum(({ rescales }) => rescales),
    kills: sum(({ kills }) => kills),
    stops: sum(({ stops }) => stops),
    serverRestarts: sum(({ serverRestarts }) => serverRestarts),
    serverFreezes: sum(({ serverFreezes }) => serverFreezes),
    recoveries: sum(({ recoveries }) => recoveries),
    checkpointsCompleted: sum(({ checkpointsCompleted }) => checkpointsCompleted),
    checkpointsExpired: sum(({ checkpointsExpired }) => checkpointsExpired),
    lost: sum(({ lost }) => lost),
    duplicated: sum(({ duplicated }) => duplicated),
    outOfOrder: sum(({ outOfOrder }) => outOfOrder),
    wrong: sum(({ wrong }) => wrong),
    crashes: sum(({ crashes }) => crashes),
    finished: runs.every(({ finished }) => finished),
    finishedAfterMs: max(({ finishedAfterMs }) => finishedAfterMs),
    peaces: sum(({ peaces }) => peaces),
    recoveryMsMax: max(({ recoveryMsMax }) => recoveryMsMax),
    markersSeen: sum(({ markersSeen }) => markersSeen),
    findings: runs.flatMap(({ job, findings }) => findings.map((finding) => `${job}: ${finding}`)),
    directory: (failed[0] ?? runs[0]!).directory,
    runs,
  };
}
