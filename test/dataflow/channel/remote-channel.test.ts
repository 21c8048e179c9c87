import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Frame } from "../../../src/dataflow/channel/frame.ts";
import { kindOf, MESSAGE } from "../../../src/dataflow/channel/remote/frame-codec.ts";
import {
  createRemoteInput,
  createRemoteOutput,
} from "../../../src/dataflow/channel/remote/remote-channel.ts";
import { FRAME_MISSING_MS } from "../../../src/dataflow/channel/remote/remote-input.ts";
import { ANNOUNCE_EVERY_MS, type RemoteWindow } from "../../../src/dataflow/channel/remote/remote-line.ts";
import { createSubjects } from "../../../src/dataflow/channel/subjects.ts";
import { ChannelError } from "../../../src/errors.ts";
import { records, takeAll } from "../../contracts/suites/channel.contract.ts";
import { barrierFrame } from "../../support/frames.ts";
import { FaultyNetwork, ManualTimers } from "./faulty-bus.ts";

const BOUND_MS = ANNOUNCE_EVERY_MS + FRAME_MISSING_MS;

function setUp(options: { window?: Partial<RemoteWindow>; payloadBytesMax?: number; inLoop?: boolean } = {}) {
  const network = new FaultyNetwork();
  const writer = network.connect(options.payloadBytesMax);
  const reader = network.connect(options.payloadBytesMax);
  const timers = new ManualTimers();
  const failures: ChannelError[] = [];
  const strays: string[] = [];
  const id = { edge: "words-count", from: 2, to: 0 };
  const shared = {
    id,
    nonce: "n1",
    inLoop: options.inLoop ?? false,
    onStray: (subject: string, why: string) => void strays.push(`${subject}: ${why}`),
    subjects: createSubjects().channel("job", 3, id),
    timers,
    onFailure: (error: ChannelError) => void failures.push(error),
    window: { framesMax: 8, bytesMax: 1_000_000, ...options.window },
  };
  const input = createRemoteInput({ ...shared, bus: reader });
  const output = createRemoteOutput({ ...shared, bus: writer });
  const settle = () => {
    while (writer.outbox.length + reader.outbox.length > 0) {
      writer.deliverAll();
      reader.deliverAll();
    }
  };
  return { network, writer, reader, timers, failures, strays, shared, input, output, settle };
}

function open(options: Parameters<typeof setUp>[0] = {}) {
  const channel = setUp(options);
  channel.settle();
  return channel;
}

describe("handshake", () => {
  it("says hello until it is echoed, and gives credit only then", async () => {
    const { writer, reader, output, timers, settle } = setUp();
    let opened = false;
    void output.opened().then(() => {
      opened = true;
    });
    writer.lose();
    timers.advance(25);
    writer.deliverAll();
    reader.lose();
    await Promise.resolve();
    expect(output.hasRoom()).toBe(false);
    expect(opened).toBe(false);
    timers.advance(250);
    settle();
    await Promise.resolve();
    expect(opened).toBe(true);
    expect(output.hasRoom()).toBe(true);
    timers.advance(900);
    expect(writer.outbox.filter((message) => kindOf(message.body) === MESSAGE.hello)).toEqual([]);
  });

  it("opens when the reader comes long after the writer", async () => {
    const { network, shared, timers, settle } = setUp();
    const late = { ...shared, subjects: createSubjects().channel("job", 4, shared.id) };
    const writer = network.connect();
    const output = createRemoteOutput({ ...late, bus: writer });
    timers.advance(10_000, () => writer.deliverAll());
    expect(output.hasRoom()).toBe(false);
    const reader = network.connect();
    createRemoteInput({ ...late, bus: reader });
    timers.advance(250);
    writer.deliverAll();
    reader.deliverAll();
    expect(output.hasRoom()).toBe(true);
    settle();
  });

  it("does not pile up messages while there is no connection", () => {
    const { writer, timers } = setUp();
    writer.outbox.length = 0;
    writer.connected = false;
    timers.advance(60_000);
    expect(writer.outbox).toEqual([]);
  });
});

describe("loss", () => {
  it("fails at the frame after the lost one", () => {
    const { writer, input, output, failures } = open();
    output.send(records(1));
    output.send(records(2));
    output.send(records(3));
    writer.deliver();
    writer.lose();
    expect(takeAll(input)).toEqual([records(1)]);
    writer.deliver();
    expect(failures).toHaveLength(1);
    expect(failures[0]).toBeInstanceOf(ChannelError);
    expect(failures[0]!.message).toContain('edge "words-count", subtask 2 to 0');
    expect(failures[0]!.message).toContain("frames 2 to 2 were lost");
    expect(input.take()).toBeUndefined();
  });

  it("fails within the bound when the tail is lost (P26)", () => {
    const { writer, output, failures, timers, settle } = open();
    output.send(records(1));
    writer.deliver();
    output.send(barrierFrame(1));
    writer.lose();
    timers.advance(BOUND_MS - 1, settle);
    expect(failures).toEqual([]);
    timers.advance(1, settle);
    expect(failures).toHaveLength(1);
  });

  it("fails within the bound after a reconnect that lost the tail and one announcement", () => {
    const { writer, output, failures, timers, settle } = open();
    output.send(records(1));
    writer.lose();
    timers.advance(ANNOUNCE_EVERY_MS);
    writer.lose();
    writer.reconnect();
    settle();
    timers.advance(FRAME_MISSING_MS, settle);
    expect(failures).toHaveLength(1);
  });

  it("does not fail when frames are only late", () => {
    const { input, output, failures, timers, settle, writer } = open();
    output.send(records(1));
    timers.advance(20_000);
    settle();
    timers.advance(20_000, settle);
    expect(failures).toEqual([]);
    expect(takeAll(input)).toEqual([records(1)]);
    expect(writer.outbox).toEqual([]);
  });

  it("drops repeated frames", () => {
    const { writer, input, output, failures } = open();
    output.send(records(1));
    writer.repeat();
    writer.repeat();
    writer.deliver();
    output.send(records(2));
    writer.repeat();
    writer.deliver();
    expect(takeAll(input)).toEqual([records(1), records(2)]);
    expect(failures).toEqual([]);
  });

  it("reports a failure once, and stops", () => {
    const { writer, reader, input, output, failures, timers } = open();
    for (const value of [1, 2, 3, 4]) output.send(records(value));
    writer.lose();
    writer.deliverAll();
    timers.advance(60_000, () => writer.deliverAll());
    expect(failures).toHaveLength(1);
    expect(reader.outbox).toEqual([]);
    input.close();
    output.close();
    expect(timers.pending).toBe(0);
  });
});

describe("strangers", () => {
  /** What the other end has sent, taken off the wire and changed by a stranger. */
  const changed = (body: Uint8Array, change: (copy: Buffer) => void) => {
    const copy = Buffer.from(body);
    change(copy);
    return copy;
  };

  it("are dropped and told of, whatever they make of what they hear, and the frames come whole", () => {
    const { network, writer, shared, input, output, failures, strays, timers, settle } = open();
    const stranger = network.connect();
    const inject = (body: Uint8Array) => {
      stranger.publish(shared.subjects.data, body);
      stranger.deliverAll();
    };
    const sent: Frame[] = [];
    for (let round = 1; round <= 20; round++) {
      const frame = records({ round }, "x");
      output.send(frame);
      sent.push(frame);
      const { body } = writer.outbox[0]!;
      inject(changed(body, (copy) => copy.fill(0xc1, 20)));
      inject(changed(body, (copy) => copy.writeDoubleBE(round + 1000, 8)));
      inject(changed(body, (copy) => copy.writeUInt32BE(2 ** 32 - 1, 4)));
      inject(changed(body, (copy) => copy.fill(3, 1, 2)));
      inject(body.subarray(0, 25));
      inject(new Uint8Array([9, 9, 9]));
      settle();
      inject(body);
      sent.push(...[barrierFrame(round)]);
      output.send(barrierFrame(round));
      const barrier = writer.outbox[0]!.body;
      inject(changed(barrier, (copy) => copy.writeDoubleBE(2 ** 52, 20)));
      settle();
      expect(takeAll(input)).toEqual(sent.splice(0));
      timers.advance(ANNOUNCE_EVERY_MS);
      const total = writer.outbox[0]!.body;
      inject(changed(total, (copy) => copy.writeDoubleBE(2 ** 40, 8)));
      settle();
      inject(total);
    }
    timers.advance(BOUND_MS, settle);
    expect(failures).toEqual([]);
    expect(strays.length).toBe(20 * 8);
    expect(strays[0]).toContain(shared.subjects.data);
  });

  it("with another nonce or from another channel are dropped (P6)", () => {
    for (const other of [
      { nonce: "n2" },
      { subjects: createSubjects().channel("job", 3, { edge: "other", from: 2, to: 0 }) },
    ]) {
      const { network, shared, input, output, failures, strays, settle } = open();
      const theirs = network.connect();
      const channel = { ...shared, ...other };
      const sender = createRemoteOutput({ ...channel, bus: theirs });
      const answering = network.connect();
      createRemoteInput({ ...channel, bus: answering });
      theirs.deliverAll();
      answering.deliverAll();
      expect(sender.hasRoom()).toBe(true);
      sender.send(records("theirs"));
      const { body } = theirs.outbox.at(-1)!;
      theirs.outbox.length = 0;
      theirs.publish(shared.subjects.data, body);
      theirs.deliverAll();
      output.send(records("mine"));
      settle();
      expect(takeAll(input)).toEqual([records("mine")]);
      expect(failures).toEqual([]);
      expect(strays.at(-1)).toContain("without this channel's seal");
    }
  });

  it("cannot grant what was not taken", () => {
    const { network, reader, writer, input, output, failures, strays, shared, settle } = open();
    const stranger = network.connect();
    for (let i = 0; i < 8; i++) output.send(records(i));
    writer.deliverAll();
    for (let i = 0; i < 2; i++) input.take();
    const { body } = reader.outbox.at(-1)!;
    stranger.publish(
      shared.subjects.credit,
      changed(body, (copy) => copy.writeDoubleBE(2 ** 50, 20)),
    );
    stranger.deliverAll();
    expect(output.hasRoom()).toBe(false);
    settle();
    expect(output.hasRoom()).toBe(true);
    expect(failures).toEqual([]);
    expect(strays).toHaveLength(1);
  });

  it("that have the seal are noticed by the next total (RM8)", () => {
    const { network, shared, input, output, failures, timers, settle } = open();
    const twin = network.connect();
    const second = createRemoteOutput({ ...shared, bus: twin });
    twin.deliverAll();
    settle();
    expect(second.hasRoom()).toBe(true);
    second.send(records("not what was sent"));
    twin.deliver();
    output.send(records("what was sent"));
    settle();
    expect(takeAll(input)).toEqual([records("not what was sent")]);
    expect(failures).toEqual([]);
    second.close();
    timers.advance(ANNOUNCE_EVERY_MS, settle);
    expect(failures[0]!.message).toContain("what has arrived up to frame 1 is not what was sent");
  });

  it("that have the seal are noticed by the next barrier, which does not arrive (RM8)", () => {
    const { network, shared, input, output, failures, settle } = open();
    const heard: number[] = [];
    input.onArrival(({ checkpointId }) => void heard.push(checkpointId));
    const twin = network.connect();
    const second = createRemoteOutput({ ...shared, bus: twin });
    twin.deliverAll();
    settle();
    output.send(barrierFrame(1));
    settle();
    second.send(barrierFrame(1));
    second.send(records("not what was sent"));
    twin.deliverAll();
    output.send(records("what was sent"));
    output.send(barrierFrame(2));
    settle();
    expect(heard).toEqual([1]);
    expect(failures[0]!.message).toContain("is not what was sent");
  });

  it("that have the seal are noticed though the writer sends nothing", () => {
    const { network, writer, reader, shared, output, failures, timers, settle } = open();
    const twin = network.connect();
    const second = createRemoteOutput({ ...shared, bus: twin });
    twin.deliverAll();
    settle();
    second.send(records("never sent"));
    twin.deliver();
    second.close();
    timers.advance(2 * ANNOUNCE_EVERY_MS, () => {
      // The writer would notice, too, by the grants.
      reader.outbox.length = 0;
      writer.deliverAll();
    });
    expect(failures[0]!.message).toContain("frames 1 to 1 have arrived and were never sent");
    output.close();
  });

  it("one total that comes behind later frames is no reason to fail", () => {
    const { network, writer, input, output, failures, timers, settle, shared } = open();
    output.send(records(1));
    writer.deliverAll();
    timers.advance(ANNOUNCE_EVERY_MS);
    const overtaken = writer.outbox.shift()!.body;
    output.send(records(2));
    writer.deliverAll();
    const late = network.connect();
    late.publish(shared.subjects.data, overtaken);
    late.deliverAll();
    timers.advance(10 * ANNOUNCE_EVERY_MS, settle);
    expect(failures).toEqual([]);
    expect(takeAll(input)).toEqual([records(1), records(2)]);
  });

  it("a round travels in loops only", () => {
    for (const inLoop of [false, true]) {
      const { input, output, failures, strays, settle } = open({ inLoop });
      output.send({ kind: "round", round: 1, dirty: true });
      settle();
      expect(takeAll(input)).toHaveLength(inLoop ? 1 : 0);
      expect(strays).toHaveLength(inLoop ? 0 : 1);
      expect(failures).toEqual([]);
    }
  });
});

describe("old generations", () => {
  it("are not heard (P2)", () => {
    const { network, shared, input, output, failures, settle } = open();
    const zombieBus = network.connect();
    const zombie = createRemoteOutput({
      ...shared,
      bus: zombieBus,
      subjects: createSubjects().channel("job", 2, shared.id),
    });
    zombieBus.deliverAll();
    expect(zombie.hasRoom()).toBe(false);
    output.send(records("mine"));
    settle();
    expect(takeAll(input)).toEqual([records("mine")]);
    expect(failures).toEqual([]);
  });
});

describe("credit", () => {
  it("comes back a quarter of the window at a time", () => {
    const { writer, reader, input, output } = open({ window: { framesMax: 16 } });
    for (let i = 0; i < 16; i++) output.send(records(i));
    writer.deliverAll();
    for (let i = 0; i < 3; i++) input.take();
    expect(reader.outbox).toEqual([]);
    input.take();
    expect(reader.outbox).toHaveLength(1);
    reader.deliver();
    let sent = 0;
    while (output.hasRoom()) {
      output.send(records("more"));
      sent++;
    }
    expect(sent).toBe(4);
  });

  it("heals after lost grants, by the next one, by time, or by a reconnect", () => {
    for (const heal of ["time", "reconnect"] as const) {
      const { writer, reader, input, output, timers, settle } = open();
      let wakes = 0;
      output.onRoom(() => wakes++);
      for (let i = 0; i < 8; i++) output.send(records(i));
      writer.deliverAll();
      takeAll(input);
      while (reader.outbox.length > 0) reader.lose();
      expect(output.hasRoom()).toBe(false);
      if (heal === "time") timers.advance(ANNOUNCE_EVERY_MS, settle);
      else reader.reconnect();
      settle();
      expect(output.hasRoom()).toBe(true);
      expect(wakes).toBe(1);
    }
  });

  it("ignores grants that come late", () => {
    const { writer, reader, input, output } = open();
    for (let i = 0; i < 8; i++) output.send(records(i));
    writer.deliverAll();
    takeAll(input);
    const late = reader.outbox[0]!;
    reader.deliverAll();
    reader.publish(late.subject, late.body);
    reader.deliverAll();
    let sent = 0;
    while (output.hasRoom()) output.send(records(sent++));
    expect(sent).toBe(8);
  });

  it("is bounded by bytes too", () => {
    const { writer, input, output, settle } = open({ window: { framesMax: 64, bytesMax: 10_000 } });
    let sent = 0;
    while (output.hasRoom()) {
      output.send(records("x".repeat(3000)));
      sent++;
    }
    expect(sent).toBe(4);
    writer.deliverAll();
    takeAll(input);
    settle();
    expect(output.hasRoom()).toBe(true);
  });
});

describe("size of frames", () => {
  it("splits a frame that the server would not take, in order", () => {
    const { writer, input, output, failures, settle } = open({ payloadBytesMax: 1000 });
    const values = Array.from({ length: 50 }, (_, i) => ({ i, text: "y".repeat(100) }));
    const timestamps = values.map((_, i) => i * 10);
    output.send({ kind: "records", values, timestamps, marks: undefined });
    expect(writer.outbox.length).toBeGreaterThan(6);
    expect(writer.outbox.every(({ body }) => body.length <= 1000)).toBe(true);
    settle();
    const frames = takeAll(input).filter((frame) => frame.kind === "records");
    expect(frames.flatMap((frame) => frame.values)).toEqual(values);
    expect(frames.flatMap((frame) => frame.timestamps)).toEqual(timestamps);
    expect(failures).toEqual([]);
  });

  it("sends a record in pieces that is larger than the server takes, and keeps its credit", () => {
    const { writer, input, output, failures, settle } = open({ payloadBytesMax: 1000 });
    const large = { text: "z".repeat(5000) };
    for (let round = 0; round < 100; round++) {
      output.send(records("small", large, "small"));
      output.send(barrierFrame(round + 1));
      expect(writer.outbox.every(({ body }) => body.length <= 1000)).toBe(true);
      settle();
      const frames = takeAll(input);
      expect(frames.at(-1)).toEqual(barrierFrame(round + 1));
      expect(frames.flatMap((frame) => (frame.kind === "records" ? frame.values : []))).toEqual([
        "small",
        large,
        "small",
      ]);
      settle();
    }
    expect(output.hasRoom()).toBe(true);
    expect(failures).toEqual([]);
  });

  it("notices a piece that was lost", () => {
    const { writer, input, output, failures, settle } = open({ payloadBytesMax: 1000 });
    output.send(records("z".repeat(5000)));
    writer.outbox.splice(2, 1);
    settle();
    expect(takeAll(input)).toEqual([]);
    expect(failures[0]!.message).toContain("were lost");
  });

  it("fails with the edge's name when one record is larger than any that can be sent", () => {
    const { output, failures } = open({ payloadBytesMax: 1_000_000 });
    output.send(records("small", "z".repeat(33 * 1024 * 1024), "small"));
    expect(failures).toHaveLength(1);
    expect(failures[0]!.message).toMatch(
      /edge "words-count".*one record takes \d+ bytes, and at most 33554432/,
    );
  });

  it("fails, and does not throw into user code, when a record cannot be encoded", () => {
    const { output, failures } = open();
    output.send(records(Symbol("no")));
    expect(failures[0]!.message).toContain('edge "words-count"');
    expect(failures[0]!.cause).toBeInstanceOf(Error);
  });

  it("asks for as many records as make about 32 KiB", () => {
    const { output } = open();
    output.send(records(...Array.from({ length: 100 }, () => "w".repeat(320))));
    expect(output.recordsPerFrame).toBeGreaterThan(90);
    expect(output.recordsPerFrame).toBeLessThan(110);
    output.send(records(1, 2, 3, 4, 5));
    expect(output.recordsPerFrame).toBe(1024);
    output.send(records("v".repeat(100_000)));
    expect(output.recordsPerFrame).toBe(1);
  });
});

describe("any interleaving of loss and repetition", () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant("send" as const) },
    { weight: 2, arbitrary: fc.constant("barrier" as const) },
    { weight: 8, arbitrary: fc.constant("arrive" as const) },
    { weight: 6, arbitrary: fc.constant("grantArrives" as const) },
    { weight: 6, arbitrary: fc.constant("take" as const) },
    { weight: 2, arbitrary: fc.constant("repeat" as const) },
    { weight: 2, arbitrary: fc.constant("loseGrant" as const) },
    { weight: 1, arbitrary: fc.constant("repeatGrant" as const) },
    { weight: 1, arbitrary: fc.constant("time" as const) },
    { weight: 1, arbitrary: fc.constant("reconnect" as const) },
  );

  /** Runs the steps; then faults stop and time goes on. */
  function run(steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T | "lose" : never)[]) {
    const channel = setUp();
    const { writer, reader, input, output, timers, failures, settle } = channel;
    const sent: Frame[] = [];
    const taken: Frame[] = [];
    let framesLost = 0;
    const arrivedOnce = new Set<unknown>();
    const take = () => {
      const frame = input.take();
      if (frame !== undefined) taken.push(frame);
    };
    timers.advance(25);
    settle();
    expect(output.hasRoom()).toBe(true);
    for (const next of steps) {
      switch (next) {
        case "send":
        case "barrier": {
          const frame: Frame = next === "send" ? records({ at: sent.length }) : barrierFrame(sent.length);
          if (next === "send" && !output.hasRoom()) break;
          output.send(frame);
          sent.push(frame);
          break;
        }
        case "arrive":
          writer.deliver();
          break;
        case "grantArrives":
          reader.deliver();
          break;
        case "take":
          take();
          break;
        case "repeat":
          arrivedOnce.add(writer.outbox[0]);
          writer.repeat();
          break;
        case "repeatGrant":
          reader.repeat();
          break;
        case "loseGrant":
          reader.lose();
          break;
        case "lose": {
          const lost = writer.lose();
          if (lost === undefined || arrivedOnce.has(lost)) break;
          if (kindOf(lost.body)! <= MESSAGE.endOfData) framesLost++;
          break;
        }
        case "time":
          timers.advance(700);
          break;
        case "reconnect":
          writer.reconnect();
          reader.reconnect();
          break;
      }
      expect(taken).toEqual(sent.slice(0, taken.length));
    }
    const drain = () => {
      settle();
      for (let i = 0; i < 100; i++) take();
    };
    drain();
    timers.advance(2 * BOUND_MS, drain);
    drain();
    expect(taken).toEqual(sent.slice(0, taken.length));
    return { sent, taken, failures, framesLost, output };
  }

  it("without lost frames all arrives, nothing fails, and credit is whole again", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { sent, taken, failures, output } = run(steps);
        expect(failures).toEqual([]);
        expect(taken).toEqual(sent);
        expect(output.hasRoom()).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it("with a lost frame the channel fails, and what arrived is a prefix of what was sent", () => {
    const losing = fc.oneof(
      { weight: 12, arbitrary: step },
      { weight: 1, arbitrary: fc.constant("lose" as const) },
    );
    fc.assert(
      fc.property(fc.array(losing, { maxLength: 200 }), (steps) => {
        const { sent, taken, failures, framesLost } = run(steps);
        expect(failures).toHaveLength(framesLost > 0 ? 1 : 0);
        if (framesLost === 0) expect(taken).toEqual(sent);
      }),
      { numRuns: 300 },
    );
  });
});
