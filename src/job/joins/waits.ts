/**
 * Operators that hold a stream back until the rules are there: which jobs could wait for ever.
 *
 * A held stream fills the channels in front of it, and its sources stop. So nothing that is waited for may come from
 * there, at this operator or at another one that waits, nor from a source that is aligned with one of these sources.
 */
import type { JobConfig } from "../../config/job-config.ts";
import { ConfigurationError } from "../../errors.ts";
import type { Job, JobOperator } from "../job.ts";

/** @throws ConfigurationError when what an operator waits for may not come */
export function checkWaits(operators: readonly JobOperator[]): void {
  const byId = new Map(operators.map((operator) => [operator.definition.id, operator]));
  const waiting = operators.filter(({ definition }) => definition.details.waits !== undefined);
  for (const operator of waiting) {
    const { id, details } = operator.definition;
    const refuse = (why: string): never => {
      throw new ConfigurationError(id, `operator "${id}": broadcast() has waitFor, ${why}`);
    };
    if (leadingTo(operator, details.waits!.heldPort, byId).has(id))
      refuse("and it lies inside a loop, which would fill: put it in front of the loop or behind its output");
    const awaited = leadingTo(operator, details.waits!.awaitedPort, byId);
    for (const other of waiting) {
      const { id: holder, details: of } = other.definition;
      const held = leadingTo(other, of.waits!.heldPort, byId);
      const shared = [...awaited].filter((one) => held.has(one)).at(-1);
      if (shared !== undefined)
        refuse(
          `and what it waits for comes from "${shared}", as do records that operator "${holder}" holds back: they would ` +
            "stop it, and it would wait for ever. Read the rules by a source of their own, or leave waitFor out",
        );
      const aligned = alignedIn(awaited, held, byId);
      if (aligned !== undefined)
        refuse(
          `and source "${aligned.one}", which it waits for, is in the alignment group "${aligned.group}" of source ` +
            `"${aligned.other}", whose records operator "${holder}" holds back: the group would stop it, and it would wait ` +
            "for ever. Give the rules another group or no alignment, or leave waitFor out",
        );
    }
    if (details.waits!.until !== "caughtUp") continue;
    for (const from of awaited) {
      const { source, eventTime } = byId.get(from)!.definition.details;
      if (source === undefined || source.bounded || eventTime?.idleAfterMs !== undefined) continue;
      refuse(
        `"caughtUp", and source "${from}" never tells that it has read all there is: give it watermarks and idleAfter, such ` +
          'as { watermarks: ascendingTimestamps(), idleAfter: "1 s" }, or take waitFor: "first"',
      );
    }
  }
}

/** Two sources, one of each set, of which one waits for the other. */
function alignedIn(
  some: ReadonlySet<string>,
  others: ReadonlySet<string>,
  byId: ReadonlyMap<string, JobOperator>,
): { readonly one: string; readonly other: string; readonly group: string } | undefined {
  const groupOf = (id: string) => byId.get(id)?.definition.details.eventTime?.alignment?.group;
  for (const one of some) {
    const group = groupOf(one);
    const other = group === undefined ? undefined : [...others].find((id) => groupOf(id) === group);
    if (group !== undefined && other !== undefined) return { one, other, group };
  }
  return undefined;
}

/** The operators whose records lead to this port. */
function leadingTo(
  { inputs }: JobOperator,
  port: number,
  byId: ReadonlyMap<string, JobOperator>,
): ReadonlySet<string> {
  const found = new Set(inputs.filter((input) => (input.port ?? 0) === port).map(({ from }) => from));
  for (const id of found) {
    const { inputs: further = [], feedback = [] } = byId.get(id) ?? {};
    for (const { from } of [...further, ...feedback]) found.add(from);
  }
  return found;
}

/**
 * Barriers overtake the records that are held. That needs checkpoints one at a time, and subtasks that wait for
 * barriers.
 *
 * @throws ConfigurationError naming the option that has to change
 */
export function checkWaitsWith(job: Job, { checkpointing }: JobConfig): void {
  const waiting = job.operators.find(({ definition }) => definition.details.waits !== undefined);
  if (waiting === undefined) return;
  const { id } = waiting.definition;
  const refuse = (key: string, why: string): never => {
    throw new ConfigurationError(
      key,
      `${key}: ${why}, but operator "${id}" holds records back until its rules are there (waitFor), and barriers must be ` +
        "able to overtake these",
    );
  };
  const { mode, maxConcurrent } = checkpointing;
  if (mode === "at-least-once") refuse("checkpointing.mode", 'is "at-least-once"');
  if (maxConcurrent > 1) refuse("checkpointing.maxConcurrent", `is ${maxConcurrent}`);
}
