/**
 * Damage to what a JetStream sink keeps: the marker in its stream, and an object of a decided transaction's staged
 * records, each in each way, in both storages of objects. The next generation says what it is and writes nothing; with
 * it back the generation after commits exactly what was prepared (P20, P22, P45).
 */
import { headers } from "@nats-io/transport-node";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { Committable, SinkWriter } from "../../../src/dataflow/sink.ts";
import { CommitRefusedError, ObjectCorruptError, ObjectMissingError } from "../../../src/errors.ts";
import { MARKER_HEADER } from "../../../src/nats/publisher/marker-header.ts";
import { createStagingArea } from "../../../src/runtime/worker/sinks/staging.ts";
import { prepareTransaction } from "../../../src/testing/sink-environment.ts";
import { bucketDepot, DAMAGES, type Damage, type Depot, directoryDepot } from "../../checkpoint/depots.ts";
import { failureOf, SinkServer } from "./sink-server.ts";

const server = new SinkServer({});
/** More than is carried beside the handles, so that it is staged. */
const large = (of: string) => Array.from({ length: 6 }, (_, i) => `${of}${i} ${"x".repeat(40_000)}`);

/** Opens a writer of a generation that goes on behind checkpoint 1. */
type Begin = (generation: number, more?: object) => Promise<SinkWriter<string>>;

describe("the marker", () => {
  const subject = (writer: number) => `tidemark-marker.${server.stream}.life1.out.${writer}`;
  const contentOf = async (writer: number) => {
    const stored = await server.manager.streams.getMessage(server.stream, { last_by_subj: subject(writer) });
    return stored!.string();
  };
  const put = async (content: string) => {
    const own = headers();
    own.set(MARKER_HEADER, "life1");
    own.set("Nats-Rollup", "sub");
    await server.manager.jetstream().publish(subject(0), content, { headers: own });
  };
  const HARMS: Readonly<Record<string, readonly [harm: (own: string, another: string) => unknown, RegExp]>> =
    {
      "cut to nothing": [() => put(""), /is not a marker of this engine: it is (empty|no JSON)/],
      cut: [(own) => put(own.slice(0, -1)), /is not a marker of this engine: it is no JSON/],
      "with a flipped bit": [
        (own) => put(own.replace('"generation"', '"generatiom"')),
        /is not a marker of this engine: generation: /,
      ],
      "with a changed number": [
        (own) => put(own.replace(/"checkpointId":1/, '"checkpointId":3')),
        /was changed, or copied from another one: its check sum does not fit; put it back, then start the job again/,
      ],
      "swapped with another": [(_, another) => put(another), /was changed, or copied from another one/],
      absent: [
        () => server.manager.streams.purge(server.stream, { filter: subject(0) }),
        /marker .* is missing/,
      ],
      "a record": [() => put("three words here"), /is not a marker of this engine: it is no JSON/],
      "of a newer format": [
        () => put('{"version":2,"marker":"later"}'),
        /is not a marker of this engine: job: /,
      ],
    };

  test.each(Object.keys(HARMS))("is %s", async (harm) => {
    await server.add();
    const [first, second] = await Promise.all(
      [0, 1].map((subtaskIndex) => server.sink().open(server.environment({ subtaskIndex, parallelism: 2 }))),
    );
    await first!.commit(await prepareTransaction(first!, 1, ["a"]));
    await second!.commit(await prepareTransaction(second!, 1, ["b"]));
    const restoredState = first!.snapshot();
    const decided = await prepareTransaction(first!, 2, ["c"]);
    await Promise.all([first!.close(), second!.close()]);
    const own = await contentOf(0);
    const begin: Begin = (generation) =>
      server
        .sink()
        .open(server.environment({ generation, parallelism: 2, restoredCheckpointId: 2, restoredState }));

    const [act, words] = HARMS[harm]!;
    await act(own, await contentOf(1));
    const refused = await failureOf(begin(2));
    expect([CommitRefusedError, ObjectMissingError]).toContain((refused as Error)?.constructor);
    expect((refused as Error).message).toMatch(words);
    expect((refused as Error).message).toContain(subject(0));
    expect(await server.committed()).toBe(2);

    await put(own);
    const heir = await begin(3);
    await heir.commit(decided);
    await heir.close();
    expect(await server.committed()).toBe(3);
  });
});

describe.each(["directory", "object store"] as const)("a staged object in the %s", (place) => {
  let depot: Depot | undefined;
  afterEach(async () => await depot?.close());
  const WORDS: Readonly<Record<Damage, RegExp>> = {
    cut: /is corrupt: /,
    flipped: /is corrupt: /,
    swapped: /is corrupt: |has chunks of more than/,
    absent: /is not in (directory|object store)/,
    other: /is corrupt: /,
  };

  test("is damaged in each way: nothing is committed before it is back", async () => {
    await server.add();
    depot = place === "directory" ? await directoryDepot() : await bucketDepot(server.nats, "staged");
    const { storage } = depot;
    const stagingOf = (generation: number) =>
      createStagingArea({
        storage,
        at: { job: "contract", incarnation: "life1", generation, sink: "out", writer: 0 },
        troubles: server.environment().troubles,
        clock: systemClock,
        signal: new AbortController().signal,
      });
    const small = { partMessagesMax: 3 };
    const first = await server.sink(small).open(server.environment({ staging: stagingOf(1) }));
    const restoredState = first.snapshot();
    const decided: Committable = await prepareTransaction(first, 1, large("a"));
    await first.close();
    const object = decided.staged[0]!;
    const other = await storage.put("another", [Buffer.from("another transaction")]);
    const content = await storage.get(object);
    let generation = 2;
    const begin = () => {
      const environment = { generation, restoredCheckpointId: 1, restoredState };
      return server
        .sink(small)
        .open(server.environment({ ...environment, staging: stagingOf(generation++) }));
    };
    for (const damage of DAMAGES) {
      await depot.damage(object, damage, other);
      const heir = await begin();
      const refused = await failureOf(heir.commit(decided));
      await heir.close();
      expect([ObjectCorruptError, ObjectMissingError], damage).toContain((refused as Error)?.constructor);
      expect((refused as Error).message, damage).toMatch(WORDS[damage]);
      expect((refused as Error).message).toContain(object.name);
      expect(await server.committed(), damage).toBe(0);
      await depot.mend(object, content);
    }
    const heir = await begin();
    await heir.commit(decided);
    await heir.commit(decided);
    await heir.close();
    expect(await server.committed()).toBe(large("a").length);
  });
});
