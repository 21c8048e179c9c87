/** What the default is where input of a source may be missing. */
import type { StreamConfig } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { decisionAboutGaps } from "../../../src/nats/reader/positions/stream-position.ts";

const decided = (config: Partial<StreamConfig>, filters: readonly string[] = []) =>
  decisionAboutGaps(
    undefined,
    {
      name: "IN",
      subjects: ["in.>"],
      retention: "limits",
      max_msgs_per_subject: -1,
      ...config,
    } as StreamConfig,
    filters,
  ).gaps;

test.each<[string, Partial<StreamConfig>]>([
  ["has limits", { max_msgs: 100 }],
  [
    "is written by a sink, which needs rollups and a time to live for its marker",
    { subjects: ["in.>", "tidemark-marker.IN.>"], allow_rollup_hdrs: true, allow_msg_ttl: true },
  ],
])("a job stops where input is missing of a stream that %s", (_, config) => {
  expect(decided(config)).toBe("fail");
});

test.each<[string, Partial<StreamConfig>]>([
  ["keeps the last messages of each subject", { max_msgs_per_subject: 1 }],
  ["keeps them, and is written by a sink", { subjects: ["tidemark-marker.IN.>"], max_msgs_per_subject: 1 }],
  ["allows rollups", { allow_rollup_hdrs: true }],
  ["takes messages with a time to live", { allow_msg_ttl: true }],
])("it goes on, and counts, where a stream %s", (_, config) => {
  expect(decided(config)).toBe("skip");
});

test("what the source says holds", () => {
  expect(decisionAboutGaps("fail", { max_msgs_per_subject: 1 } as StreamConfig, []).gaps).toBe("fail");
});
