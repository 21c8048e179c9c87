/** Windows and joins by event time behind records that have no timestamp: which jobs could come to one. */
import type { OperatorDetails } from "../../dataflow/operators/contract.ts";
import { ConfigurationError } from "../../errors.ts";
import type { JobOperator } from "../job.ts";

/** @throws ConfigurationError when an operator that needs timestamps may get a record without one */
export function checkTimestamps(
  { definition: { id, details }, ...read }: JobOperator,
  byId: ReadonlyMap<string, JobOperator>,
): void {
  if (details.needsTimestamps !== true) return;
  const refuse = (why: string, remedy: string): never => {
    throw new ConfigurationError(
      id,
      `operator "${id}": works by event time, and ${why}: ${remedy}, or put assignTimestamps with a timestamp in between`,
    );
  };
  const seen = new Set(sendersOf(read));
  for (const from of seen) {
    const sender = byId.get(from)!;
    const { details: sent } = sender.definition;
    if (typeof sent.timestamps === "object")
      refuse(
        `operator "${from}" in front of it may emit records without timestamps (${sent.timestamps.missing})`,
        sent.timestamps.remedy,
      );
    if (hasUntimedSource(sent))
      refuse(
        `source "${from}" in front of it gives its records no timestamps`,
        "say which they have, such as { timestamp: (record) => record.at }",
      );
    if (givesTimestamps(sent)) continue;
    for (const next of sendersOf(sender)) seen.add(next);
  }
}

function sendersOf({ inputs, feedback = [] }: Pick<JobOperator, "inputs" | "feedback">): string[] {
  return [...inputs, ...feedback].map(({ from }) => from);
}

const hasUntimedSource = ({ source, eventTime }: OperatorDetails): boolean =>
  source?.timestamps === false && eventTime?.timestamp === undefined;

/** Whatever is in front of it, or it is looked at itself. */
const givesTimestamps = ({ timestamps, needsTimestamps, eventTime }: OperatorDetails): boolean =>
  timestamps === "all" || needsTimestamps === true || eventTime?.timestamp !== undefined;
