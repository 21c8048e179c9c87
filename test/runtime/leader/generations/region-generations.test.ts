/** Which generations of a job's regions a leader answers for. */
import { expect, test } from "vitest";
import type { ControlLink } from "../../../../src/control/link.ts";
import { createSubjects } from "../../../../src/dataflow/channel/subjects.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import { Troubles } from "../../../../src/observe/troubles.ts";
import { RegionGenerations } from "../../../../src/runtime/leader/generations/region-generations.ts";
import { defaultTimings } from "../../../../src/runtime/timings.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

test("a leader that has stepped down while it raised a generation does not listen for it", () => {
  const served = new Set<string>();
  const serve = (subject: string) => {
    served.add(subject);
    return { close: () => void served.delete(subject) };
  };
  const clock = new ManualClock();
  const leadership = new AbortController();
  const generations = new RegionGenerations({
    job: "words",
    link: { serve } as unknown as ControlLink,
    subjects: createSubjects(),
    storage: new MemoryStorage(),
    clock,
    troubles: new Troubles(clock),
    secretOf: () => "of the worker",
    leader: "leader",
    regions: [["count/0"]],
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    timings: defaultTimings,
    signal: leadership.signal,
    receive: () => ({ answer: "accepted" }),
    onRefused: () => {},
  });
  const life = { incarnation: "i1", nonce: "n1" };
  generations.begin(0, 1, { "count/0": "w" }, life);
  expect([...served]).toEqual(["tidemark.words.1.coordinator"]);
  leadership.abort();
  generations.end();
  generations.begin(0, 2, { "count/0": "w" }, life);
  expect([...served]).toEqual([]);
});
