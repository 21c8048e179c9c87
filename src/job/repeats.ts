/** What a job without checkpoints would do twice, or lose, if it began again after a failure. */
import type { GraphPlan, OperatorPlan } from "../../machines/protocol.ts";
import type { Job } from "./job.ts";

type Operator = Pick<OperatorPlan, "id" | "guarantee" | "replayable">;

/**
 * In words, as the end of "a restart would ..."; undefined: nothing, since its output waits for its last checkpoint.
 */
export function repeatedByRestart(job: Job): string | undefined {
  return repeatedBy(
    job.operators.map(({ definition: { id, details } }): Operator => {
      const { source, sink } = details;
      return {
        id,
        ...(sink && { guarantee: sink.guarantee }),
        ...(source && { replayable: source.replayable }),
      };
    }),
  );
}

/** What a restart would repeat or lose, told from a plan. */
export function repeatedByRestartOf({ vertices }: GraphPlan): string | undefined {
  return repeatedBy(vertices.flatMap(({ operators }) => operators));
}

function repeatedBy(operators: readonly Operator[]): string | undefined {
  const sinks = operators.filter(({ guarantee = "exactly-once" }) => guarantee !== "exactly-once");
  const sources = operators.filter(({ replayable }) => replayable === false);
  const parts = [
    ...(sinks.length === 0 ? [] : [`write everything again to ${named("sink", sinks)}`]),
    ...(sources.length === 0 ? [] : [`lose what ${named("source", sources)} has given and cannot replay`]),
  ];
  return parts.length === 0 ? undefined : parts.join(" and ");
}

function named(what: "sink" | "source", operators: readonly Operator[]): string {
  return `${what}${operators.length === 1 ? "" : "s"} ${operators.map(({ id }) => `"${id}"`).join(", ")}`;
}
