/** Counts by key: no event time, the sink of each count chained to it. */
import { inputRecords, keyedCountJob, type OutputRecord, splitOf } from "../../support/graphs/keyed-count.ts";
import { checkOutput } from "../checkers.ts";
import type { Workload } from "./workload.ts";

export const keyedCount: Workload = {
  name: "keyed-count",
  load: 1,
  job: keyedCountJob,
  *input({ records, keys, splits }) {
    for (const record of inputRecords(records, keys))
      yield { split: splitOf(record, splits), text: JSON.stringify(record) };
  },
  check({ records, keys }, output) {
    const written = output.map(({ sequence, text }) => ({
      sequence,
      record: JSON.parse(text) as OutputRecord,
    }));
    return checkOutput(inputRecords(records, keys), written);
  },
};
