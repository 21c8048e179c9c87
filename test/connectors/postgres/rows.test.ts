/** What a row looks like in PostgreSQL, and which rows a transaction leaves, on a real server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openPostgresSession } from "../../../src/connectors/postgres/session.ts";
import { type PostgresSinkOptions, postgresSink } from "../../../src/connectors/postgres/sink.ts";
import { rowLimits } from "../../../src/connectors/postgres/statements.ts";
import type { SinkWriter } from "../../../src/dataflow/sink.ts";
import { RecordRefusedError } from "../../../src/errors.ts";
import { sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import {
  hasPostgres,
  POSTGRES_MISSING,
  type PostgresServer,
  startPostgres,
} from "../../support/servers/databases/postgres.ts";

let server: PostgresServer;

beforeAll(async () => {
  if (hasPostgres) server = await startPostgres();
});
afterAll(() => server?.stop());

beforeEach(async () => {
  if (hasPostgres) await ask("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
});

async function ask(statement: string) {
  const session = await openPostgresSession(server.url);
  try {
    return (await session.query(statement)).rows;
  } finally {
    session.destroy();
  }
}

/** Writes each array of records as one transaction, in one generation. */
async function written<T>(
  options: Omit<PostgresSinkOptions<T>, "connection" | "provision">,
  ...transactions: readonly (readonly T[])[]
): Promise<void> {
  const writer = await opened(options);
  for (const [index, records] of transactions.entries()) {
    for (const record of records) writer.write(record, 0);
    const committable = await writer.cut(index + 1)?.prepared();
    await writer.commit(JSON.parse(JSON.stringify(committable)));
  }
  await writer.close();
}

async function opened<T>(
  options: Omit<PostgresSinkOptions<T>, "connection" | "provision">,
): Promise<SinkWriter<T>> {
  const sink = postgresSink<T>({ connection: server.url, provision: true, ...options });
  await sink.check(sinkEnvironment({}));
  return sink.open(sinkEnvironment({}));
}

describe.skipIf(!hasPostgres)(`rows in PostgreSQL${hasPostgres ? "" : ` (${POSTGRES_MISSING})`}`, () => {
  /** Type, value, and what the server shows of it as text. */
  const values: readonly (readonly [string, unknown, string | null])[] = [
    ["int2", -32768, "-32768"],
    ["int4", 2147483647, "2147483647"],
    ["int8", 2 ** 53 - 1, "9007199254740991"],
    ["int8", 2n ** 63n - 1n, "9223372036854775807"],
    ["int8", -0, "0"],
    ["numeric", 12345678901234567890123n, "12345678901234567890123"],
    ["numeric", "-0.000000000000000000000001", "-0.000000000000000000000001"],
    ["numeric", 1e21, "1000000000000000000000"],
    ["numeric(10,2)", 1.5, "1.50"],
    ["float8", 0.1, "0.1"],
    ["float8", Number.NaN, "NaN"],
    ["float8", Number.NEGATIVE_INFINITY, "-Infinity"],
    ["float8", -0, "-0"],
    ["float4", 1.5, "1.5"],
    ["bool", true, "true"],
    ["bool", false, "false"],
    ["text", "", ""],
    ["text", "\\N", "\\N"],
    ["text", "\\.", "\\."],
    [
      "text",
      "tab\tline\nreturn\rback\\slash \"quoted\" 'single' {curly},NULL",
      "tab\tline\nreturn\rback\\slash \"quoted\" 'single' {curly},NULL",
    ],
    ["text", "😀 ünïcode", "😀 ünïcode"],
    ["text", null, null],
    ["varchar(3)", "😀😀😀", "😀😀😀"],
    ["uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    ["json", [1, "two", null], '[1,"two",null]'],
    [
      "jsonb",
      { a: "\\u0000 as text", b: 9007199254740991 },
      '{"a": "\\\\u0000 as text", "b": 9007199254740991}',
    ],
    ["jsonb", "just text", '"just text"'],
    ["bytea", new Uint8Array([0, 1, 255]), "\\x0001ff"],
    ["timestamptz", new Date("2026-03-29T01:30:00.123Z"), "2026-03-29 01:30:00.123+00"],
    ["timestamptz", 1_774_747_800_123, "2026-03-29 01:30:00.123+00"],
    ["timestamptz", "2026-03-29T03:30:00.123456+02:00", "2026-03-29 01:30:00.123456+00"],
    ["timestamp", new Date("2026-03-29T01:30:00.123Z"), "2026-03-29 01:30:00.123"],
    ["timestamp", "2026-03-29 01:30:00.123456", "2026-03-29 01:30:00.123456"],
    ["date", new Date("2026-12-31T23:59:59.999Z"), "2026-12-31"],
    ["date", "2026-12-31", "2026-12-31"],
    ["time", "23:59:59.999999", "23:59:59.999999"],
    ["interval", "1 day 02:03:04", "1 day 02:03:04"],
    ["inet", "10.0.0.1/8", "10.0.0.1/8"],
    ["text[]", ["a,b", 'c"d', "e\\f", null, "NULL", ""], '{"a,b","c\\"d","e\\\\f",NULL,"NULL",""}'],
    ["int8[]", [1n, 2, null], "{1,2,NULL}"],
    [
      "int4[]",
      [
        [1, 2],
        [3, 4],
      ],
      "{{1,2},{3,4}}",
    ],
    ["timestamptz[]", [new Date(0)], '{"1970-01-01 00:00:00+00"}'],
  ];

  test.each([
    ["appended", false],
    ["upserted", true],
  ])("values come back as they were, %s", async (_, keyed) => {
    // The zone of the process must not matter.
    const columns = values.map(([type], i) => `c${i} ${type}`);
    await ask(`CREATE TABLE t (id int PRIMARY KEY, ${columns.join(", ")})`);
    const record = Object.fromEntries([["id", 7], ...values.map(([, value], i) => [`c${i}`, value])]);
    await written(
      {
        table: "t",
        columns: Object.fromEntries(Object.keys(record).map((name) => [name, name])),
        ...(keyed && { key: ["id"] }),
      },
      [record],
    );
    const [row] = await ask(
      `SET TimeZone = 'UTC'; SELECT ${values.map((__, i) => `c${i}::text`).join(", ")} FROM t`,
    );
    expect(Object.values(row!)).toEqual(values.map(([, , shown]) => shown));
  });

  test.each<[string, unknown, RegExp]>([
    ["int2", 32768, /is 32768, out of its range/],
    ["int4", 1.5, /takes a whole number/],
    ["int8", 2 ** 53, /a bigint beyond 2\^53/],
    ["int8", "7", /takes a whole number or a bigint, got/],
    ["int8", 2n ** 63n, /out of its range/],
    ["numeric", "1,5", /takes a number, a bigint or a number as text/],
    ["numeric", Number.POSITIVE_INFINITY, /takes a finite number/],
    ["bool", "yes", /takes true or false/],
    ["bool", 1, /takes true or false/],
    ["text", {}, /takes text/],
    ["text", undefined, /gets undefined; give null/],
    ["text NOT NULL", null, /takes no null/],
    ["text", "a\0b", /NUL character/],
    ["text", "a\ud800b", /half of a surrogate pair/],
    ["varchar(3)", "abcd", /\(varchar\(3\)\) takes 3 characters, got 4/],
    ["uuid", "no", /takes a UUID/],
    ["jsonb", ["a\0b"], /NUL character/],
    ["jsonb", ["a\udc00"], /half of a surrogate pair/],
    ["json", new Map(), /cannot be written as JSON/],
    ["bytea", "text", /takes a Uint8Array/],
    ["timestamptz", "2026-03-29 01:30:00", /ISO text with its zone/],
    ["timestamptz", new Date(Number.NaN), /takes a Date/],
    ["timestamp", "2026-03-29 01:30:00Z", /ISO text without zone/],
    ["date", "31.12.2026", /"YYYY-MM-DD"/],
    ["int4[]", 7, /takes an array/],
    ["int4[]", [1, undefined], /holds undefined/],
    ["int4[]", ["x"], /takes a whole number/],
  ])("a column %s refuses %o before the commit", async (type, value, message) => {
    await ask(`CREATE TABLE t (c ${type})`);
    const writer = await opened<{ c: unknown }>({ table: "t", columns: { c: "c" } });
    expect(() => writer.write({ c: value }, 0)).toThrow(RecordRefusedError);
    expect(() => writer.write({ c: value }, 0)).toThrow(/table public.t: column c /);
    expect(() => writer.write({ c: value }, 0)).toThrow(message);
    // Nothing of it is left in the transaction.
    expect(writer.cut(1)).toBeUndefined();
    await writer.close();
  });

  interface Stock {
    readonly shop: string;
    readonly item: number;
    readonly left: number | null;
  }
  const stock = {
    table: "stock",
    columns: { left: "left", shop: "shop", item: "item" },
    key: ["shop", "item"],
  } as const;
  const makeStock = () =>
    ask('CREATE TABLE stock (shop text, item int, "left" int, seen int DEFAULT 1, PRIMARY KEY (item, shop))');
  const found = () => ask('SELECT shop, item, "left" FROM stock ORDER BY shop, item');

  test.each([
    ["in memory", 16 * 1024 * 1024],
    ["in a temporary table", 0],
  ])("the last operation of a key wins, %s", async (_, keyedBytesMax) => {
    const usual = rowLimits.keyedBytesMax;
    rowLimits.keyedBytesMax = keyedBytesMax;
    try {
      await makeStock();
      await written<Stock>(
        { ...stock, deletes: ({ left }) => left === null },
        [
          { shop: "a", item: 1, left: 5 },
          { shop: "b", item: 1, left: 6 },
          { shop: "a", item: 1, left: 4 },
          { shop: "tab\there", item: 2, left: 1 },
        ],
        [
          { shop: "b", item: 1, left: null },
          { shop: "a", item: 1, left: null },
          { shop: "a", item: 1, left: 9 },
          { shop: "c", item: 3, left: 1 },
          { shop: "c", item: 3, left: null },
          { shop: "never", item: 9, left: null },
        ],
      );
    } finally {
      rowLimits.keyedBytesMax = usual;
    }
    expect(await found()).toEqual([
      { shop: "a", item: "1", left: "9" },
      { shop: "tab\there", item: "2", left: "1" },
    ]);
  });

  test.each([
    ["numeric", ["1.0", "1", "1.00"]],
    ["uuid", ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"]],
    ["timestamptz", ["2026-01-01T00:00:00Z", new Date("2026-01-01T00:00:00Z"), "2026-01-01 01:00:00+01"]],
    ["char(3)", ["a", "a  ", "a "]],
    ["float8", [0, -0]],
  ])("a key of %s that is spelled in several ways is one key", async (type, keys) => {
    await ask(`CREATE TABLE t (k ${type} PRIMARY KEY, n int)`);
    const rows = keys.map((k, n) => ({ k, n }));
    const options = {
      table: "t",
      columns: { k: "k", n: "n" },
      key: ["k"],
      deletes: ({ n }: { n: number }) => n < 0,
    } as const;
    await written<{ k: unknown; n: number }>(options, rows);
    expect(await ask("SELECT n FROM t")).toEqual([{ n: `${keys.length - 1}` }]);
    await ask("DELETE FROM tidemark_marker");
    await written<{ k: unknown; n: number }>(options, [rows[0]!, { k: keys[1], n: -1 }]);
    expect(await ask("SELECT n FROM t")).toEqual([]);
  });

  test("columns that the sink does not name keep what they have", async () => {
    await makeStock();
    await ask("INSERT INTO stock VALUES ('a', 1, 3, 42)");
    await written<Stock>(stock, [{ shop: "a", item: 1, left: 2 }]);
    expect(await ask("SELECT * FROM stock")).toEqual([{ shop: "a", item: "1", left: "2", seen: "42" }]);
  });

  test("a table of nothing but its key", async () => {
    await ask("CREATE TABLE seen (id int PRIMARY KEY)");
    await written<{ id: number }>(
      { table: "seen", columns: { id: "id" }, key: ["id"] },
      [{ id: 1 }, { id: 1 }],
      [{ id: 1 }, { id: 2 }],
    );
    expect(await ask("SELECT id FROM seen ORDER BY id")).toEqual([{ id: "1" }, { id: "2" }]);
  });

  test("a transaction of more rows than parameters or statements can hold", async () => {
    await ask("CREATE TABLE many (id int PRIMARY KEY, text text, wide int[])");
    const rows = Array.from({ length: 70_000 }, (_, id) => ({
      id: id % 35_000,
      text: `row ${id}`,
      wide: [id],
    }));
    await written<(typeof rows)[number]>(
      { table: "many", columns: { id: "id", text: "text", wide: "wide" }, key: ["id"] },
      rows,
    );
    const [answer] = await ask("SELECT count(*), min(wide[1]), max(text) FROM many");
    expect(answer).toEqual({ count: "35000", min: "35000", max: "row 69999" });
  });

  test("names in capitals, with quotes and reserved words, in a schema of their own", async () => {
    await ask('CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."Order" ("select" int, "Say ""hi""" text)');
    await written<{ n: number }>(
      {
        table: { schema: "My Shop", table: "Order" },
        columns: { select: "n", 'Say "hi"': ({ n }) => `hi ${n}` },
      },
      [{ n: 1 }],
    );
    expect(await ask('SELECT * FROM "My Shop"."Order"')).toEqual([{ select: "1", 'Say "hi"': "hi 1" }]);
    expect(await ask('SELECT sink, checkpoint FROM "My Shop".tidemark_marker')).toEqual([
      { sink: "out", checkpoint: "1" },
    ]);
  });
});
