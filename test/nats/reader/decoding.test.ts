/** What a payload becomes, and what is said of one that becomes nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Decode, decodeMessage, decodeRange, exactJson } from "../../../src/nats/reader/decoding.ts";
import { parseExact } from "../../../src/nats/reader/json-integers.ts";

/** Decodes a payload in both ways that messages come. */
function decoded<T>(decode: Decode<T>, payload: string | Uint8Array): T {
  const data = Buffer.from(payload);
  const around = Buffer.concat([Buffer.from("xx"), data, Buffer.from("yyy")]);
  const value = decodeRange(decode)(around, 2, 2 + data.length, 0, 1);
  expect(decodeMessage(decode)({ data, subject: "x" })).toEqual(value);
  return value;
}

describe("a payload that is refused says why", () => {
  test.each<[string, Decode<unknown>, string | Uint8Array, string]>([
    ["nothing", "json", "", "is empty, which is no JSON: a deletion marker"],
    ["a byte order mark", "json", '\ufeff{"n":2}', "begins with a byte order mark, which is no JSON"],
    [
      "invisible characters",
      "json",
      '{"a":\u200b1\u00a0}',
      "is no JSON: character 5 of 9, \\u{200b}, cannot be there",
    ],
    ["a text that is cut off", "json", '{"n":', "is no JSON: it ends too early, after 5 characters"],
    [
      "bytes that are no UTF-8",
      "text",
      Uint8Array.of(0x61, 0xe9),
      'is no UTF-8; read it with decode: "bytes"',
    ],
    ["JSON that is no UTF-8", "json", Uint8Array.of(0x22, 0xff, 0x22), "is no UTF-8"],
    ["a promise", (async () => 1) as never, "a", "decode answered a promise, and a value is needed"],
    [
      "a generator",
      function* () {
        yield 1;
      },
      "a",
      "decode answered a generator",
    ],
  ])("%s", (_, decode, payload, message) => {
    expect(() => decoded(decode, payload)).toThrow(message);
  });

  test("in a few words, however long it is", () => {
    const long = `{"a": ${"x".repeat(100_000)}}`;
    expect(() => decoded("json", long)).toThrow(/^.{1,200}$/);
  });

  test("the replacement character itself is text", () => {
    expect(decoded("text", "a\ufffdb")).toBe("a\ufffdb");
  });
});

describe("whole numbers beyond 2^53", () => {
  const payload =
    '{"id": 1234567890123456781, "n": [-9007199254740993, 9007199254740991, 1e20, 1234567890.1234567], "1234567890123456781": "1234567890123456782 \\" 1234567890123456783"}';

  test("are rounded by default, as JSON.parse does", () => {
    expect(decoded("json", payload)).toEqual(JSON.parse(payload));
  });

  test("are bigints where that is asked for, and nothing else is", () => {
    expect(decoded(exactJson("bigint"), payload)).toEqual({
      id: 1234567890123456781n,
      n: [-9007199254740993n, 9007199254740991, 1e20, 1234567890.1234567],
      "1234567890123456781": '1234567890123456782 " 1234567890123456783',
    });
  });

  test("are text where that is asked for", () => {
    expect(decoded(exactJson("text"), payload)).toMatchObject({
      id: "1234567890123456781",
      n: ["-9007199254740993", 9007199254740991, 1e20, 1234567890.1234567],
    });
  });

  test("are refused where that is asked for", () => {
    expect(() => decoded(exactJson("refuse"), payload)).toThrow(
      "holds a whole number of 19 characters, at character",
    );
    expect(decoded(exactJson("refuse"), '{"n":9007199254740991}')).toEqual({ n: 9007199254740991 });
  });

  test("a payload that is no JSON says so as without the option", () => {
    expect(() => decoded(exactJson("bigint"), '{"id":1234567890123456781')).toThrow("is no JSON: ");
    expect(() => decoded(exactJson("text"), "")).toThrow("is empty, which is no JSON");
  });

  test("all other JSON is read as JSON.parse reads it", () => {
    fc.assert(
      fc.property(
        fc.json().filter((text) => !/\d{16}/.test(text)),
        fc.constantFrom("bigint" as const, "text" as const),
        (text, integers) => {
          const withIds = `[${text},"1234567890123456",12345678901234567890]`;
          const large = integers === "bigint" ? 12345678901234567890n : "12345678901234567890";
          expect(parseExact(withIds, integers)).toEqual([JSON.parse(text), "1234567890123456", large]);
        },
      ),
    );
  });
});
