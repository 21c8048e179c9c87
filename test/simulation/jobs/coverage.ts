/** What a seed covers, in words that are counted over many seeds. */
import type { DrawnJob } from "./drawing.ts";

/** Each at most once. @param done the acts of the user that came to something or were refused */
export function coverageOf(drawn: DrawnJob, done: readonly string[]): string[] {
  const { sources, operators, sinks, options, worker, workers, coordinators } = drawn;
  const { checkpointing = {}, restart } = options;
  const covered = new Set<string>([
    `workers ${workers}`,
    `coordinators ${coordinators}`,
    `restart ${restart?.strategy}`,
    `retention ${checkpointing.retention}`,
    `mode ${checkpointing.mode}`,
  ]);
  for (const { bounded, retention, time } of sources) {
    covered.add(bounded ? "bounded source" : "unbounded source");
    if (time !== undefined)
      covered.add(time.disorder > 0 ? "timestamps in disorder" : "timestamps that rise");
    if (time?.alignment !== undefined)
      covered.add(
        time.alignment.whileBehind === undefined ? "aligned sources" : "sources that keep pace while behind",
      );
    if (time?.idleAfterMs !== undefined) covered.add("a source that may be idle");
    if (retention === undefined) continue;
    covered.add(`gaps ${retention.gaps ?? "by limits"}`);
    for (const limit of Object.keys(retention.limits)) covered.add(`stream ${limit}`);
  }
  if (sources.length > 1) covered.add("several sources");
  if (sinks.length > 1) covered.add("several sinks");
  for (const { guarantee } of sinks) covered.add(`sink ${guarantee}`);
  for (const operator of operators) {
    covered.add(`operator ${operator.kind}`);
    if ("keys" in operator) covered.add(`key ${operator.keys}`).add("edge hash");
    if (operator.tellsLate) covered.add("late output of a join");
    if (operator.waitFor !== undefined) covered.add(`waits for rules: ${operator.waitFor}`);
    if (operator.replays) covered.add("clock that resumes").add(`clock that resumes: ${operator.kind}`);
    if (operator.kind === "request") covered.add(`requests ${operator.order}`);
    if (operator.kind === "buffer") covered.add(`buffer ${operator.state}`);
    if (operator.kind === "loop") covered.add(`feedback ${operator.feedback}`);
  }
  for (const inputs of [...operators.flatMap(({ ports }) => ports), ...sinks.map(({ inputs }) => inputs)]) {
    if (inputs.length > 1) covered.add("union");
    for (const { exchange, output } of inputs) {
      covered.add(`edge ${exchange}`);
      if (output !== undefined) covered.add("tagged output");
    }
  }
  for (const key of ["minPause", "maxConcurrent", "retained", "tolerableFailures", "iterations"] as const)
    if (checkpointing[key] !== undefined) covered.add(`option ${key}`);
  if (checkpointing.interval === "off") covered.add("option interval off");
  if (checkpointing.afterTasksFinish === false) covered.add("option afterTasksFinish false");
  covered.add(
    checkpointing.unaligned !== true
      ? "aligned"
      : checkpointing.alignedTimeout === undefined
        ? "unaligned"
        : "aligned with timeout",
  );
  if (drawn.acts.some(({ becomes }) => becomes?.scale !== undefined)) covered.add("another parallelism");
  if (checkpointing.incremental === false) covered.add("option incremental false");
  if (drawn.acts.some(({ kind }) => kind === "rescale")) covered.add("a rescale in mid-run");
  if (worker.checks) covered.add("option checks");
  covered.add(worker.rowsInMemory === null ? "state in the heap" : "state on disk");
  if (worker.localCopies) covered.add("local copies");
  for (const { form, kind } of drawn.acts.flatMap(({ becomes }) => becomes?.operators ?? []))
    if (form !== undefined) covered.add(`another form: ${kind}`);
  for (const act of done) covered.add(`user ${act}`);
  return [...covered];
}
