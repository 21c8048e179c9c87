/**
 * Partitions by a token of the subject, as a user writes them: what they may look like, and the filter of each.
 *
 * Owns: all that needs no server. Does not own: what the stream says to it (stray-subjects.ts).
 */
import { checkMembers } from "../../config/members.ts";
import { ConfigurationError } from "../../errors.ts";
import { isSubjectFilter } from "../../formats/positions/subject-filter.ts";

/** Which token of the subjects is a message's partition, and how many there are. */
export interface SubjectPartitions {
  /** A subject filter with one token "{partition}": "orders.{partition}.>". */
  readonly subject: string;
  /** 1 to 32768. Partitions are 0 to `count` - 1, written without leading zeros. */
  readonly count: number;
}

const PLACE = "{partition}";
const COUNT_MAX = 32_768;

/** @throws ConfigurationError naming the member */
export function checkPartitions(partitions: unknown): asserts partitions is SubjectPartitions {
  const what = "jetstreamSource.partitions";
  checkMembers(partitions, ["subject", "count"], what, "member");
  const { subject, count } = partitions as { readonly subject?: unknown; readonly count?: unknown };
  const example = `such as "orders.${PLACE}.>"`;
  const refuse = (member: string, problem: string) =>
    new ConfigurationError(`${what}.${member}`, `jetstreamSource: option "partitions": ${member} ${problem}`);
  if (typeof subject !== "string")
    throw refuse("subject", `must be a subject filter with a token ${PLACE}, ${example}`);
  const tokens = subject.split(".");
  const places = tokens.filter((token) => token === PLACE).length;
  if (places !== 1)
    throw refuse(
      "subject",
      places === 0
        ? `"${subject}" has no token ${PLACE}, which says where a message's partition stands: write it ${example}`
        : `"${subject}" has ${places} tokens ${PLACE}, and a message has one partition: write "*" for the others`,
    );
  if (tokens.some((token) => token !== PLACE && /[{}]/.test(token)) || !isSubjectFilter(wildcardOf(subject)))
    throw refuse("subject", `"${subject}" is not a subject filter ${example}`);
  if (!Number.isSafeInteger(count) || (count as number) < 1 || (count as number) > COUNT_MAX)
    throw refuse("count", `must be a whole number from 1 to ${COUNT_MAX}, got ${String(count)}`);
}

/** The filter of each partition, in their order. */
export function filtersByPartition({ subject, count }: SubjectPartitions): string[] {
  return Array.from({ length: count }, (_, partition) => subject.replace(PLACE, String(partition)));
}

/** All that the partitions have, and what is in none of them. */
export function wildcardOf(subject: string): string {
  return subject.replace(PLACE, "*");
}

/** The place of the partition among the tokens of a subject. */
export function placeIn(subject: string): number {
  return subject.split(".").indexOf(PLACE);
}

export function isPartition(token: string, count: number): boolean {
  return /^(0|[1-9]\d*)$/.test(token) && Number(token) < count;
}
