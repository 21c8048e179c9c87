/** Which splits may wait without losing input that a stream's limits take away. */
import type { StreamInfo } from "@nats-io/jetstream";
import { describe, expect, test } from "vitest";
import { staysFor, Trimming } from "../../../src/nats/reader/positions/trimming.ts";
import { until } from "../../support/until.ts";

const NOW = "2026-01-01T00:00:00.000Z";
const HOUR_MS = 3_600_000;

/** A stream of 1000 messages of 100 bytes each, sequences 1001 to 2000. */
function streamWith(config: object, ts: string | undefined = NOW): StreamInfo {
  return {
    config: {
      name: "S",
      retention: "limits",
      discard: "old",
      max_age: 0,
      max_msgs: -1,
      max_bytes: -1,
      ...config,
    },
    state: { messages: 1000, bytes: 100_000, first_seq: 1001, last_seq: 2000 },
    ts,
  } as unknown as StreamInfo;
}

const at = (sequence: number, hoursAgo = 0) => ({
  sequence,
  timestampMs: Date.parse(NOW) - hoursAgo * HOUR_MS,
});

describe("what a split has left", () => {
  test.each([
    ["a stream without limits", {}, at(1001, 1000), true],
    ["max_age, in its younger half", { max_age: 24 * HOUR_MS * 1e6 }, at(1001, 12), true],
    ["max_age, in its older half", { max_age: 24 * HOUR_MS * 1e6 }, at(1001, 12.1), false],
    ["max_msgs, half of it left", { max_msgs: 1000 }, at(1500), true],
    ["max_msgs, more than half of it left", { max_msgs: 1000 }, at(1499), false],
    ["max_msgs that is far", { max_msgs: 10_000 }, at(1001), true],
    ["max_bytes, half of it left", { max_bytes: 100_000 }, at(1500), true],
    ["max_bytes, more than half of it left", { max_bytes: 100_000 }, at(1499), false],
    ["limits at which it refuses new messages", { max_msgs: 1000, discard: "new" }, at(1001), true],
    ["a limit of each subject", { max_msgs_per_subject: 1_000_000 }, at(2000), false],
  ])("by %s", (_, config, front, stays) => {
    expect(staysFor(streamWith(config), front, [])).toBe(stays);
  });

  test("is too old where the server does not tell its time", () => {
    const { ts, ...stream } = streamWith({ max_age: HOUR_MS * 1e6 });
    expect(ts).toBe(NOW);
    expect(staysFor(stream as StreamInfo, at(2000), [])).toBe(false);
  });
});

test("a split may wait when the stream is known, and not any more when the server does not answer", async () => {
  let answers = true;
  const state = {
    recent: async () => {
      if (!answers) throw new Error("no answer");
      return { info: streamWith({}), askedMs: 0 };
    },
  };
  const trimming = new Trimming(state, []);
  expect(trimming.mayWait(at(1001))).toBe(false);
  await until("the stream is known", () => trimming.mayWait(at(1001)));
  answers = false;
  await until("it is not known any more", () => !trimming.mayWait(at(1001)));
});
