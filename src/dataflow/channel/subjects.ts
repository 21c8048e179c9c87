/**
 * Every NATS subject of Tidemark is built here, and nowhere else.
 *
 * All of a job's life sits below `<prefix>.<job>`; what belongs to one generation carries it as the next token, so an
 * old incarnation that wakes up has no listeners (P2). Names are validated where users give them; an illegal token here
 * is a bug.
 *
 *     <prefix>.workers.<workerId>                                       a process, whatever it runs
 *     <prefix>.leader                                                   the leader of the cluster, for standbys
 *     <prefix>.leader.<coordinatorId>                                   the memory of a leader, for checkpoints
 *     <prefix>.<job>.control                                            the leader
 *     <prefix>.<job>.control.<session>                                  the coordinator of one `tidemark run`
 *     <prefix>.<job>.events                                             the event feed
 *     <prefix>.<job>.<generation>.coordinator                           the leader, for this generation's workers
 *     <prefix>.<job>.<generation>.worker.<workerId>                     a worker, for this generation's coordinator
 *     <prefix>.<job>.<generation>.channel.<edge>.<from>.<to>            hellos, frames, totals sent
 *     <prefix>.<job>.<generation>.channel-credit.<edge>.<from>.<to>     the way back: echoes, totals consumed
 */
import { invariant } from "../../errors.ts";
import { isJobName, isSubjectToken } from "../../formats/names.ts";
import type { ChannelId } from "./frame.ts";

export interface ChannelSubjects {
  readonly data: string;
  readonly credit: string;
}

export interface Subjects {
  readonly prefix: string;
  channel(job: string, generation: number, id: ChannelId): ChannelSubjects;
  /** What coordinators that stand by ask the leader of the cluster on. */
  leader(): string;
  /** What is asked of the memory of the coordinator with this id. */
  leaderMemory(coordinatorId: string): string;
  control(job: string): string;
  /** What a `tidemark run` asks its own coordinator on. */
  runControl(job: string, session: string): string;
  /** Control subjects of all jobs: what the leader of a cluster listens on. */
  allControl(): string;
  events(job: string): string;
  /** All of the above and below but the feeds, which any stream may store, as patterns. */
  controlPatterns(): readonly string[];
  /** Event feeds of all jobs. */
  allEvents(): string;
  workers(workerId: string): string;
  coordinator(job: string, generation: number): string;
  worker(job: string, generation: number, workerId: string): string;
}

export function createSubjects(prefix = "tidemark"): Subjects {
  invariant(
    prefix.split(".").every(isSubjectToken) && !prefix.startsWith("$"),
    `subject prefix "${prefix}" is not a list of legal tokens`,
  );
  const ofJob = (job: string): string => {
    invariant(isJobName(job), `job name "${job}" is not a legal subject token`);
    return `${prefix}.${job}`;
  };
  const ofGeneration = (job: string, generation: number): string =>
    `${ofJob(job)}.${count(generation, "generation")}`;

  return {
    prefix,
    channel(job, generation, id) {
      const base = ofGeneration(job, generation);
      const name = `${token(id.edge, "edge")}.${count(id.from, "from")}.${count(id.to, "to")}`;
      return { data: `${base}.channel.${name}`, credit: `${base}.channel-credit.${name}` };
    },
    leader: () => `${prefix}.leader`,
    leaderMemory: (coordinatorId) => `${prefix}.leader.${token(coordinatorId, "coordinator id")}`,
    control: (job) => `${ofJob(job)}.control`,
    runControl: (job, session) => `${ofJob(job)}.control.${token(session, "session")}`,
    allControl: () => `${prefix}.*.control`,
    events: (job) => `${ofJob(job)}.events`,
    controlPatterns: () => [
      `${prefix}.leader`,
      `${prefix}.leader.*`,
      `${prefix}.workers.*`,
      `${prefix}.*.control`,
      `${prefix}.*.control.*`,
      `${prefix}.*.*.coordinator`,
      `${prefix}.*.*.worker.*`,
      `${prefix}.*.*.channel.*.*.*`,
      `${prefix}.*.*.channel-credit.*.*.*`,
    ],
    allEvents: () => `${prefix}.*.events`,
    workers: (workerId) => `${prefix}.workers.${token(workerId, "worker id")}`,
    coordinator: (job, generation) => `${ofGeneration(job, generation)}.coordinator`,
    worker: (job, generation, workerId) =>
      `${ofGeneration(job, generation)}.worker.${token(workerId, "worker id")}`,
  };
}

function token(value: string, what: string): string {
  invariant(isSubjectToken(value), `${what} "${value}" is not a legal subject token`);
  return value;
}

function count(value: number, what: string): number {
  invariant(Number.isSafeInteger(value) && value >= 0, `${what} ${value} is not a whole number`);
  return value;
}
