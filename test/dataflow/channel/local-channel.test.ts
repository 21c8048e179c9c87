import { expect, it } from "vitest";
import { createLocalChannel, DEFAULT_LOCAL_WINDOW } from "../../../src/dataflow/channel/local-channel.ts";
import { records, takeAll } from "../../contracts/suites/channel.contract.ts";

it("hands frames over by reference", () => {
  const { output, input } = createLocalChannel();
  const frame = records({ a: 1 });
  output.send(frame);
  expect(input.take()).toBe(frame);
});

it("bounds records, not only frames: a few full frames fill the default window (LC2)", () => {
  const { output } = createLocalChannel();
  let frames = 0;
  while (output.hasRoom()) {
    output.send(records(...new Array(output.recordsPerFrame).fill(0)));
    frames++;
  }
  expect(frames).toBe(DEFAULT_LOCAL_WINDOW.recordsMax / DEFAULT_LOCAL_WINDOW.recordsPerFrame);
});

it("accepts a frame larger than the window when the window is empty", () => {
  const { output, input } = createLocalChannel({ framesMax: 4, recordsMax: 10, recordsPerFrame: 5 });
  output.send(records(...new Array(100).fill(0)));
  expect(output.hasRoom()).toBe(false);
  input.take();
  expect(output.hasRoom()).toBe(true);
});

it("wakes the writer only when credit comes back, and may be sent to from inside the wake", () => {
  const { output, input } = createLocalChannel({ framesMax: 2, recordsMax: 100, recordsPerFrame: 5 });
  let wakes = 0;
  output.onRoom(() => {
    wakes++;
    if (wakes === 1) output.send(records("from the wake"));
  });
  output.send(records(1));
  input.take();
  expect(wakes).toBe(0);
  output.send(records(2));
  output.send(records(3));
  expect(input.take()).toEqual(records(2));
  expect(wakes).toBe(1);
  expect(takeAll(input)).toEqual([records(3), records("from the wake")]);
});

it("keeps what was sent when the writer closes", () => {
  const { output, input } = createLocalChannel();
  output.send(records(1));
  output.send({ kind: "endOfData" });
  output.close();
  output.send(records(2));
  expect(takeAll(input)).toEqual([records(1), { kind: "endOfData" }]);
});

it("stays in order over many compactions of its queue", () => {
  const { output, input } = createLocalChannel({ framesMax: 1000, recordsMax: 10_000, recordsPerFrame: 1 });
  let sent = 0;
  let expected = 0;
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 37; i++) output.send(records(sent++));
    for (let i = 0; i < 30; i++) expect(input.take()).toEqual(records(expected++));
  }
  for (const frame of takeAll(input)) expect(frame).toEqual(records(expected++));
  expect(expected).toBe(sent);
});
