/** What the functions of a JetStream sink answer, and what the options of connectors may be. */
import { describe, expect, test } from "vitest";
import { fileSink } from "../../src/connectors/file-sink.ts";
import { generatorSource } from "../../src/connectors/generator-source.ts";
import { RecordForm, type RecordShape } from "../../src/connectors/jetstream/record.ts";
import { jetstreamSink } from "../../src/connectors/jetstream/sink.ts";
import { jetstreamSource } from "../../src/connectors/jetstream/source.ts";
import { ConfigurationError, RecordRefusedError } from "../../src/errors.ts";

const bounds = { stream: "OUT", subjects: ["out.>"], markerPrefix: undefined };
const formOf = (shape: object) =>
  new RecordForm({ subject: "out.a", ...shape } as RecordShape<unknown>, bounds);
const later = async () => Promise.reject(new Error("later"));

describe("a record is refused whose", () => {
  test.each<[string, object, unknown, string]>([
    [
      "encode answers a promise",
      { encode: later },
      1,
      "encode answered a promise, and text or bytes are needed",
    ],
    ["encode answers nothing", { encode: () => undefined }, 1, "encode answered undefined"],
    ["value is no text", { encode: "text" }, { a: 1 }, "encode answered an object"],
    [
      "text ends in half a surrogate pair",
      { encode: "text" },
      "a \ud83d",
      "its text holds half a surrogate pair",
    ],
    [
      "subject is a promise",
      { subject: later },
      1,
      "a record is refused: the subject is a promise, and text is needed",
    ],
    [
      "subject holds half a pair",
      { subject: () => "out.\ud83d" },
      1,
      "the subject holds half a surrogate pair",
    ],
    [
      "headers are a promise",
      { headers: later },
      1,
      "headers answered a promise, and a plain object is needed",
    ],
    ["headers are a Map", { headers: () => new Map([["a", "b"]]) }, 1, "headers answered a Map"],
    ["headers are missing", { headers: () => undefined }, 1, "headers answered undefined"],
    ["header holds half a pair", { headers: () => ({ a: "\ud83d" }) }, 1, "illegal value in header a"],
    ["value JSON does not know", {}, { a: new Map() }, 'field "a" is a Map'],
  ])("%s", async (_, shape, value, message) => {
    const form = formOf(shape);
    expect(() => form.prepare(value)).toThrow(RecordRefusedError);
    expect(() => form.prepare(value)).toThrow(message);
    // A rejection that is not handled would end the process, here as in a worker.
    await new Promise((resolve) => setImmediate(resolve));
  });

  test("and is taken with plain headers", () => {
    const form = formOf({ headers: () => ({ "X-A": "å 🙂" }) });
    form.prepare({ a: 1 });
    expect(form).toMatchObject({ subject: "out.a", headerLines: "X-A: å 🙂\r\n", payload: '{"a":1}' });
  });
});

describe("an option that is not there is refused by name", () => {
  const stream = "S";
  test.each<[string, () => unknown, string]>([
    [
      "jetstreamSource",
      () => jetstreamSource({ stream, subject: "a" } as never),
      'no option "subject"; did you mean "subjects"?',
    ],
    [
      "jetstreamSink",
      () => jetstreamSink({ stream, subject: "a", encod: "text" } as never),
      'did you mean "encode"?',
    ],
    [
      "fileSink",
      () => fileSink({ directroy: "/a" } as never),
      'no option "directroy"; did you mean "directory"?',
    ],
    ["generatorSource", () => generatorSource({ generate: () => 1, rate: 5 } as never), 'no option "rate"'],
    [
      "no options at all",
      () => jetstreamSource(undefined as never),
      "jetstreamSource: an object with stream, subjects",
    ],
    [
      "jetstreamSink's guarantee",
      () => jetstreamSink({ stream, subject: "a", guarantee: "once" } as never),
      'got "once"',
    ],
    ["jetstreamSink's encode", () => formOf({ encode: "yaml" }), 'got the text "yaml"'],
    ["fileSink's encode", () => fileSink({ directory: "/a", encode: "yaml" } as never), 'got "yaml"'],
  ])("%s", (_, make, message) => {
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(message);
  });
});
