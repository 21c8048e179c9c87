/** Many clients ask for savepoints at once: few are taken at a time, and each client hears what became of its own. */
import { afterEach, describe, expect, test } from "vitest";
import type { JobReport, SnapshotRequest } from "../../../../src/control/messages.ts";
import { latch } from "../../../support/latch.ts";
import { MemoryWorld, snapshotRequest, type WorldOptions } from "../../../support/memory-world.ts";
import { patientSignal } from "../../../support/suite/patience.ts";
import { until } from "../../../support/until.ts";

/** The savepoints that are taken at a time (G6). */
const AT_A_TIME = 8;
const CLIENTS = 20;

let world: MemoryWorld;
let asked = 0;
let go: () => void;
/** The most savepoints that the record has named as begun. */
let most = 0;
afterEach(() => world.close());

/** A job whose savepoints are copied no further than to their first object before `go`. */
async function started(options: WorldOptions = {}, prepare: () => void = () => {}): Promise<void> {
  world = new MemoryWorld({ interval: "1 h", bounded: false, ...options });
  const { opened, open } = latch();
  go = open;
  most = 0;
  world.beforeSave = () => opened;
  world.afterStore = ({ begunSavepoints }) => {
    most = Math.max(most, begunSavepoints.length);
  };
  prepare();
  await world.begins(20_000);
  if (world.bounded) return;
  await world.runs();
}

const ask = (followedBy: SnapshotRequest["followedBy"], signal = patientSignal()) =>
  world
    .client()
    .snapshot(
      snapshotRequest({ request: `r${++asked}`, kind: "savepoint", directory: "/savepoints", followedBy }),
      signal,
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

/** All that may have begun are at their first object. */
const copying = () =>
  until(
    "they are being copied",
    async () => (await world.record()).begunSavepoints.length === AT_A_TIME || undefined,
  );

/** The metadata of savepoints that are complete. */
async function metadata(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of world.savepoints.list("")) if (name.includes("metadata")) names.push(name);
  return names;
}

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

describe("savepoints that wait for their turn when", () => {
  const count = async (outcomes: Promise<string>[], words: RegExp | string) =>
    (await Promise.all(outcomes)).filter((said) => said.match(words) !== null).length;

  test("the job is stopped with one more: it comes last, and all are complete", async () => {
    await started();
    const outcomes = askMany();
    await heard();
    const stopped = outcome(ask("stop"));
    const { checkpoints } = await world.comesTo("it stops", ({ phase }) => phase === "running.stopping");
    expect(checkpoints.pending).toHaveLength(AT_A_TIME);
    go();
    expect(await count([...outcomes, stopped], /^complete$/)).toBe(CLIENTS + 1);
    await world.ends("stopped");
  });

  test("the job is drained: they are refused, those that are being copied are complete, and it stops", async () => {
    await started();
    const outcomes = askMany();
    await heard();
    await copying();
    const stopped = outcome(ask("drain"));
    await world.comesTo("it is drained", ({ phase }) => phase !== "running.processing");
    go();
    const refused = "did not succeed: the job is being drained, and only the savepoint that it stops with";
    expect(await count(outcomes, refused)).toBe(CLIENTS - AT_A_TIME);
    expect(await count(outcomes, /^complete$/)).toBe(AT_A_TIME);
    expect(await stopped).toBe("complete");
    await world.ends("stopped");
  });

  test.each(["canceled", "suspended"] as const)(
    "the job is %s: that waits for none, they are refused, and those that are being copied are complete",
    async (status) => {
      await started();
      const outcomes = askMany();
      await heard();
      await copying();
      const before = (await world.record()).checkpoints.at(-1)?.checkpointId ?? 0;
      await (status === "canceled" ? world.client().cancel("words") : world.client().suspend("words"));
      await world.ends(status);
      const after = (await world.record()).checkpoints.at(-1)?.checkpointId ?? 0;
      if (status === "suspended") expect(after).toBeGreaterThan(before);
      go();
      const refused = `did not succeed: the job is ${status}, and it had not begun by then`;
      expect(await count(outcomes, refused)).toBe(CLIENTS - AT_A_TIME);
      expect(await count(outcomes, /^complete$/)).toBe(AT_A_TIME);
    },
  );

  test("the job loses a worker: all of them are complete when it runs again", async () => {
    await started();
    const outcomes = askMany();
    await heard();
    await copying();
    await world.replace(world.firstWorker);
    await world.comesTo("the next generation runs", ({ generation }) => generation > 1);
    go();
    expect(await count(outcomes, /^complete$/)).toBe(CLIENTS);
    await world.allCommitted();
  });

  test("their leader is gone: the next one takes them, and leaves nothing of what was begun", async () => {
    await started();
    const outcomes = askMany();
    await heard();
    await copying();
    world.startCoordinator();
    world.cutOff(world.leader);
    go();
    expect(await count(outcomes, /^complete$/)).toBe(CLIENTS);
    await world.allCommitted();
    await world.client().cancel("words");
    await world.ends("canceled");
    await until(
      "the record forgets what was begun",
      async () => (await world.record()).begunSavepoints.length === 0 || undefined,
    );
    expect(await metadata()).toHaveLength(CLIENTS);
  });

  test("their clients are gone: they are taken all the same, and the job goes on", async () => {
    await started();
    const gone = Array.from({ length: CLIENTS }, () => new AbortController());
    const outcomes = gone.map(({ signal }) => outcome(ask("go-on", signal)));
    await heard();
    for (const client of gone) client.abort();
    expect(await count(outcomes, /abort/i)).toBe(CLIENTS);
    go();
    expect(await outcome(ask("go-on"))).toBe("complete");
    expect(await metadata()).toHaveLength(CLIENTS + 1);
    await world.allCommitted();
  });
});

test("a savepoint that finds every subtask finished is refused in words, and the job ends", async () => {
  const { opened: held, open: end } = latch();
  await started({ bounded: true }, () => {
    world.beforePut = (name) => (name.endsWith("manifest") ? held : Promise.resolve());
  });
  await world.comesTo("its input ends", ({ phase }) => phase === "running.finishing");
  go();
  const said = await outcome(ask("go-on"));
  end();
  expect(said).toMatch("did not succeed: every subtask has finished, so no job could go on from it");
  await world.finished();
  world.expectExact();
});
