import { expect, test } from "vitest";
import { coordinatorMachine, roundMachine } from "../model/checker/toy.ts";
import { Coverage } from "./coverage.ts";
import { goldenTrace, type Scenario } from "./trace.ts";

const prepared = (sink: string, checkpointId = 1) =>
  ({ type: "sink.prepared", generation: 1, checkpointId, sink }) as const;

const scenario: Scenario = {
  title: "Both sinks prepare: checkpoint 1 is decided before it is committed.   (C2)",
  actors: {
    coordinator: {
      machine: coordinatorMachine,
      input: { durable: { generation: 0, checkpointId: 0, completed: 0 }, checkpointsMax: 2 },
    },
  },
  route: ({ type, params }) =>
    type === "start.round"
      ? [{ kind: "create", actor: "round", machine: roundMachine, input: { ...params, sinks: ["s1", "s2"] } }]
      : undefined,
  steps: [
    "A checkpoint begins.",
    { event: { type: "checkpoint.requested" } },
    { event: prepared("s1") },
    "A late answer of another checkpoint changes nothing.",
    { event: prepared("s2", 7) },
    { event: prepared("s2") },
  ],
};

test("a scenario reads as a story", () => {
  expect(goldenTrace(scenario)).toMatchInlineSnapshot(`
    "# Both sinks prepare: checkpoint 1 is decided before it is committed.   (C2)

    coordinator  -> idle                                      (start)
      ! store.record generation=1
      ! send.restore generation=1 completed=0

    # A checkpoint begins.
    coordinator  idle -> collecting                           checkpoint.requested
      ! store.record checkpointId=1
      ! start.round checkpointId=1 generation=1 completed=0
    > round  -> collecting                                    (start)
      ! send.prepare checkpointId=1 generation=1 completed=0
      ! timer.start timer=expiry ms=1000
    coordinator  collecting                                   sink.prepared generation=1 checkpointId=1 sink=s1
      ! tell.round event={type:vote.received,checkpointId:1,sink:s1}
    > round  collecting                                       vote.received checkpointId=1 sink=s1

    # A late answer of another checkpoint changes nothing.
    coordinator  collecting (not handled)                     sink.prepared generation=1 checkpointId=7 sink=s2
    coordinator  collecting                                   sink.prepared generation=1 checkpointId=1 sink=s2
      ! tell.round event={type:vote.received,checkpointId:1,sink:s2}
    > round  collecting -> completed                          vote.received checkpointId=1 sink=s2
      ! tell.coordinator event={type:round.completed}
    > coordinator  collecting -> idle                         round.completed
      ! store.record completed=1
      ! send.commit generation=1 checkpointId=1
    "
  `);
});

test("an event without a receiver is a mistake of the scenario", () => {
  const steps = [{ to: "round", event: { type: "timer.fired" } }];
  expect(() => goldenTrace({ ...scenario, steps })).toThrow("no actor 'round'");
});

test("coverage names what no trace has visited", () => {
  const coverage = new Coverage();
  goldenTrace(scenario, coverage);
  expect(coverage.gaps(coordinatorMachine)).toEqual({
    states: [],
    edges: ["coordinator.collecting on round.aborted"],
  });
  expect(coverage.gaps(roundMachine)).toEqual({
    states: ["round.aborted"],
    edges: ["round.collecting on timer.fired"],
  });
  expect(coverage.unhandledEvents).toEqual(["coordinator.collecting: sink.prepared"]);
});
