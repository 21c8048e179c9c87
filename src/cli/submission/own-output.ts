/** Whether a job would read what it writes, which would never end. Looked at when a job is submitted. */
import type { SinkTarget } from "../../dataflow/sink.ts";
import type { SourceSplit } from "../../dataflow/source.ts";
import { ConfigurationError } from "../../errors.ts";
import { filtersOverlap } from "../../formats/positions/subject-filter.ts";

interface ReadStream extends SourceSplit {
  readonly stream?: string;
  readonly filters?: readonly string[];
  /** A bounded input ends before what the job writes. */
  readonly end?: number;
  readonly readsOwnOutput?: true;
}

/**
 * @param warn told where it depends on the records
 * @throws ConfigurationError naming source and sink
 */
export function checkOwnOutput(
  splits: { readonly [source: string]: readonly SourceSplit[] },
  targets: { readonly [sink: string]: SinkTarget },
  warn: (message: string) => void,
): void {
  for (const [source, some] of Object.entries(splits))
    for (const [sink, target] of Object.entries(targets)) {
      const reads = (some as readonly ReadStream[]).filter(
        ({ stream, end, readsOwnOutput }) =>
          stream === target.stream && end === undefined && readsOwnOutput === undefined,
      );
      const filters = reads.flatMap((split) => split.filters ?? []);
      const whole = reads.some((split) => split.filters?.length === 0);
      const { stream, subject } = target;
      const way = `read other subjects, write to another stream, or set readsOwnOutput: true on source "${source}"`;
      if (whole || (subject !== undefined && filters.some((filter) => filtersOverlap(filter, subject))))
        throw new ConfigurationError(
          "readsOwnOutput",
          `source "${source}" reads what sink "${sink}" of the same job writes to stream "${stream}": the job would feed itself for ever; ${way}`,
        );
      if (filters.length > 0 && subject === undefined)
        warn(
          `source "${source}" and sink "${sink}" use the same stream "${stream}", and the sink's subjects depend on the records: where they match ${filters.join(", ")}, the job feeds itself; ${way}`,
        );
    }
}
