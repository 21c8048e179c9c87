/**
 * The word to the user of functions that hold the event loop: a line of the log and an event of the feed, with the
 * operators of the subtask whose turn it was.
 *
 * - HL1 The first such turn is told at once, and then one in a minute, with how many there were since.
 */
import type { Vertex } from "../../../dataflow/graph.ts";
import type { SubtaskOptions } from "../subtask/subtask.ts";

const TOLD_EVERY_MS = 60_000;

/** Answers what is called with each long turn. */
export function heldLoop(options: SubtaskOptions): (tookMs: number) => void {
  const { vertex, index, deployment, clock, feed, logger } = options;
  const subtask = `${vertex.id}/${index}`;
  const operators = functionsIn(vertex);
  let toldMs = Number.NEGATIVE_INFINITY;
  let turns = 0;
  return (tookMs) => {
    turns++;
    const nowMs = clock.elapsedMs();
    if (nowMs - toldMs < TOLD_EVERY_MS) return;
    const fields = { operators, tookMs: Math.round(tookMs), turns };
    toldMs = nowMs;
    turns = 0;
    logger.warn(
      { subtask, ...fields },
      "a function did not return for long: its worker did nothing else meanwhile, and may be taken for dead " +
        "(heartbeat.timeout). Ask other services in async(id, { request }), and divide long work over several records",
    );
    feed.publish({
      t: clock.nowMs(),
      job: deployment.job,
      generation: deployment.generation,
      role: "operator",
      id: subtask,
      event: "loop.held",
      from: "",
      to: "",
      effects: [],
      ...fields,
    });
  };
}

/** The operators with functions of the user's; a source or a sink only where there is nothing else. */
function functionsIn({ operators }: Vertex): readonly string[] {
  const inner = operators.filter(
    ({ operator: { details } }) => details.source === undefined && details.sink === undefined,
  );
  return (inner.length === 0 ? operators : inner).map(({ operator }) => operator.id);
}
