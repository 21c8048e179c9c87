import { expect, test } from "vitest";
import { ConfigurationError, type JetStreamSinkOptions, jetstreamSink } from "../../../src/index.ts";

test.each([
  [{ subject: undefined }, "subject must be a text or a function"],
  [{ subject: 7 }, "subject must be a text or a function, got 7"],
  [{ subjects: "counts.>" }, 'subjects must be an array of texts, got "counts.>"'],
  [{ subjects: [7] }, "subjects must be an array of texts"],
  [{ provision: "yes" }, 'provision must be true or false, got "yes"'],
  [{ headers: {} }, "headers must be a function"],
])("a sink with %o is refused: %s", (given, message) => {
  const options = { stream: "COUNTS", subject: "counts", ...given } as JetStreamSinkOptions<unknown>;
  expect(() => jetstreamSink(options)).toThrow(ConfigurationError);
  expect(() => jetstreamSink(options)).toThrow(message);
});

test.each([{ encode: "text" }, { encode: "bytes" }, { subject: () => "counts" }, { subjects: ["counts.>"] }])(
  "a sink with %o is none of those",
  (given) => {
    const options = { stream: "COUNTS", subject: "counts", ...given } as JetStreamSinkOptions<string>;
    expect(jetstreamSink(options).kind).toBe("jetstream");
  },
);
