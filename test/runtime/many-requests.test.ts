/** Many clients ask for savepoints at once: few are taken at a time, and each client hears what became of its own. */
import { afterEach, describe, expect, test } from "vitest";
import type { JobReport, SnapshotRequest } from "../../src/control/messages.ts";
import { latch } from "../support/latch.ts";
import { MemoryWorld, snapshotRequest, type WorldOptions } from "../support/memory-world.ts";
import { patientSignal } from "../support/patience.ts";

/** As many savepoints as are taken at a time (G6). */
const AT_A_TIME = 8;
const CLIENTS = 40;

let world: MemoryWorld;
let asked = 0;
let go: () => void;
/** Of the savepoints that the record has named as begun. */
let most = 0;
afterEach(() => world.close());

/** A job whose savepoints are copied no further than to their first object before `go`. */
async function started(options: WorldOptions = {}): Promise<void> {
  world = new MemoryWorld({ interval: "1 h", bounded: false, ...options });
  const { opened, open } = latch();
  go = open;
  most = 0;
  world.beforeSave = () => opened;
  world.afterStore = ({ begunSavepoints }) => {
    most = Math.max(most, begunSavepoints.length);
  };
  world.fill(20_000);
  world.startCoordinator();
  await Promise.all([world.startWorker(), world.startWorker()]);
  await world.submit();
  await world.runs();
}

const ask = (then: SnapshotRequest["then"]) =>
  world
    .client()
    .snapshot(
      snapshotRequest({ request: `r${++asked}`, kind: "savepoint", directory: "/savepoints", then }),
      patientSignal(),
    );

/** What became of it, as its client says it. */
const outcome = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    () => "complete",
    (error: unknown) => String(error),
  );

const askMany = (clients = CLIENTS) => Array.from({ length: clients }, () => outcome(ask("go-on")));

/** All of them have been heard, and as many have begun as may. */
const heard = (clients = CLIENTS): Promise<JobReport> =>
  world.comesTo(
    "every request is known",
    ({ checkpoints: { pending, pendingMore, queued } }) => pending.length + pendingMore + queued >= clients,
  );

describe("savepoints that are asked for at once", () => {
  test("are begun a few at a time, a report shows those, and each is complete in the end", async () => {
    await started();
    const outcomes = askMany();
    const { checkpoints, unansweredRequests } = await heard();
    expect(checkpoints.pending).toHaveLength(AT_A_TIME);
    expect(checkpoints).toMatchObject({ pendingMore: 0, queued: CLIENTS - AT_A_TIME });
    expect(unansweredRequests).toBe(CLIENTS);
    go();
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["complete"]));
    expect(most).toBeLessThanOrEqual(AT_A_TIME);
    await world.allCommitted();
  });
});
