/** What a row looks like in MariaDB, which rows a transaction leaves, and what is refused, on a real server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openMysqlSession } from "../../../src/connectors/mysql/session.ts";
import { type MysqlSinkOptions, mysqlSink } from "../../../src/connectors/mysql/sink.ts";
import { rowLimits } from "../../../src/connectors/mysql/statements.ts";
import type { ConnectorEnvironment } from "../../../src/dataflow/connector.ts";
import type { SinkWriter } from "../../../src/dataflow/sink.ts";
import { CommitRefusedError, EnvironmentError, RecordRefusedError } from "../../../src/errors.ts";
import { prepareTransaction, sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import {
  MARIADB_MISSING,
  type MariadbServer,
  mariadbRoot,
  startMariadb,
} from "../../support/servers/databases/mariadb.ts";

type Options<T> = Omit<MysqlSinkOptions<T>, "connection">;

const has = typeof mariadbRoot === "string";
let server: MariadbServer;

beforeAll(async () => {
  if (has) server = await startMariadb();
});
afterAll(() => server?.stop());

beforeEach(async () => {
  if (!has) return;
  await ask("DROP DATABASE IF EXISTS shop", "test");
  await ask("CREATE DATABASE shop CHARACTER SET utf8mb4", "test");
});

async function ask(statement: string, database = "shop", user = "root") {
  const session = await openMysqlSession({ ...server.connection, user, database }, undefined);
  try {
    return (await session.query(statement)).rows;
  } finally {
    session.destroy();
  }
}

const sinkOf = <T>(options: Options<T>, user = "root") =>
  mysqlSink<T>({ connection: { ...server.connection, user, database: "shop" }, provision: true, ...options });

function check(
  options: Options<string>,
  at: Partial<ConnectorEnvironment> = {},
  user?: string,
): Promise<void> {
  return sinkOf(options, user).check(sinkEnvironment(at));
}

async function opened<T>(options: Options<T>): Promise<SinkWriter<T>> {
  const sink = sinkOf(options);
  await sink.check(sinkEnvironment({}));
  return sink.open(sinkEnvironment({}));
}

/** Writes each array of records as one transaction, in one generation. */
async function written<T>(options: Options<T>, ...transactions: readonly (readonly T[])[]): Promise<void> {
  const writer = await opened(options);
  for (const [index, records] of transactions.entries()) {
    for (const record of records) writer.write(record, 0);
    const committable = await writer.cut(index + 1)?.prepared();
    await writer.commit(JSON.parse(JSON.stringify(committable)));
  }
  await writer.close();
}

describe.skipIf(!has)(`rows in MariaDB${MARIADB_MISSING}`, () => {
  /** Type, value, and what the server shows of it as text. */
  const values: readonly (readonly [string, unknown, string | null])[] = [
    ["tinyint", -128, "-128"],
    ["tinyint(1)", true, "1"],
    ["smallint unsigned", 65535, "65535"],
    ["mediumint", -8388608, "-8388608"],
    ["int", 2147483647, "2147483647"],
    ["bigint", 2n ** 63n - 1n, "9223372036854775807"],
    ["bigint unsigned", 2n ** 64n - 1n, "18446744073709551615"],
    ["decimal(30,5)", 12345678901234567890123n, "12345678901234567890123.00000"],
    ["decimal(10,2)", "-1.50", "-1.50"],
    ["double", 0.1, "0.1"],
    ["varchar(3)", "😀😀😀", "😀😀😀"],
    ["text", "", ""],
    [
      "text",
      "NUL \0 tab\tline\nreturn\r\x1a \\back 'single' \"double\" `tick` ;--",
      "NUL \0 tab\tline\nreturn\r\x1a \\back 'single' \"double\" `tick` ;--",
    ],
    ["text", null, null],
    ["json", { a: [1, "two", null], b: "it's" }, '{"a":[1,"two",null],"b":"it\'s"}'],
    ["json", [1, 2], "[1,2]"],
    ["datetime(6)", "2026-03-29 01:30:00.123456", "2026-03-29 01:30:00.123456"],
    ["datetime(3)", new Date("2026-03-29T01:30:00.123Z"), "2026-03-29 01:30:00.123"],
    ["datetime", new Date("2026-12-31T23:59:59.999Z"), "2026-12-31 23:59:59"],
    ["timestamp(3)", 1_774_747_800_123, "2026-03-29 01:30:00.123"],
    ["date", new Date("2026-12-31T23:59:59.999Z"), "2026-12-31"],
    ["time(6)", "23:59:59.999999", "23:59:59.999999"],
    ["enum('a','b')", "b", "b"],
  ];

  test.each([
    ["appended", false],
    ["upserted", true],
  ])("values come back as they were, %s", async (_, keyed) => {
    const columns = values.map(([type], i) => `c${i} ${type} NULL`);
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
    const [row] = await ask(`SELECT ${values.map((__, i) => `c${i}`).join(", ")} FROM t`);
    expect(Object.values(row!)).toEqual(values.map(([, , shown]) => shown));
  });

  test("bytes come back as they were", async () => {
    await ask("CREATE TABLE t (c blob)");
    await written({ table: "t", columns: { c: "c" } }, [{ c: new Uint8Array([0, 39, 92, 255]) }]);
    expect(await ask("SELECT hex(c) AS c FROM t")).toEqual([{ c: "00275CFF" }]);
  });

  test.each<[string, unknown, RegExp]>([
    ["tinyint", 128, /is 128, out of its range/],
    ["int unsigned", -1, /is -1, out of its range/],
    ["int", 1.5, /takes a whole number/],
    ["bigint", 2 ** 53, /a bigint beyond 2\^53/],
    ["int", true, /takes a whole number or a bigint/],
    ["decimal(5,2)", Number.NaN, /takes a finite number/],
    ["double", Number.POSITIVE_INFINITY, /takes a finite number/],
    ["varchar(3)", "abcd", /\(varchar\(3\)\) takes 3 characters, got 4/],
    ["tinytext", "é".repeat(128), /takes 255 bytes, got 256/],
    ["varchar(9) CHARACTER SET latin1", "😀", /has the character set latin1, which lacks "😀"/],
    ["varchar(9) CHARACTER SET utf8mb3", "😀", /has the character set utf8mb3, which lacks "😀"/],
    ["text", "a\ud800b", /half of a surrogate pair/],
    ["text", { a: 1 }, /takes text/],
    ["text", undefined, /gets undefined; give null/],
    ["text NOT NULL", null, /takes no null/],
    ["json", new Map(), /cannot be written as JSON/],
    ["blob", "text", /takes a Uint8Array/],
    ["varbinary(2)", new Uint8Array(3), /takes 2 bytes, got 3/],
    ["datetime", "2026-03-29T01:30:00Z", /takes a Date/],
    ["date", "31.12.2026", /takes a Date/],
  ])("a column %s refuses %o before the commit", async (type, value, message) => {
    await ask(`CREATE TABLE t (c ${type})`);
    const writer = await opened<{ c: unknown }>({ table: "t", columns: { c: "c" } });
    expect(() => writer.write({ c: value }, 0)).toThrow(RecordRefusedError);
    expect(() => writer.write({ c: value }, 0)).toThrow(message);
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
    ask(
      "CREATE TABLE stock (shop varchar(20), item int, `left` int NOT NULL, seen int DEFAULT 1, PRIMARY KEY (item, shop)) COLLATE utf8mb4_bin",
    );

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
          { shop: "it's\n", item: 2, left: 1 },
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
    expect(await ask("SELECT shop, item, `left` FROM stock ORDER BY shop, item")).toEqual([
      { shop: "a", item: "1", left: "9" },
      { shop: "it's\n", item: "2", left: "1" },
    ]);
  });

  test.each([
    ["decimal(5,2)", ["1.0", "1", "1.00"]],
    ["varchar(9)", ["Zürich", "ZURICH", "zürich "]],
    ["varchar(9) COLLATE utf8mb4_bin", ["a", "a ", "a  "]],
    ["datetime(3)", ["2026-01-01 00:00:00.1", "2026-01-01T00:00:00.100", new Date("2026-01-01T00:00:00.1Z")]],
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

  test("a transaction larger than a statement, beside a row that no statement could hold", async () => {
    await ask("SET GLOBAL max_allowed_packet = 1048576");
    await ask("CREATE TABLE many (id int PRIMARY KEY, text longtext)");
    const rows = Array.from({ length: 20_000 }, (_, id) => ({
      id: id % 10_000,
      text: `row ${id} ${"é".repeat(100)}`,
    }));
    const options = { table: "many", columns: { id: "id", text: "text" }, key: ["id"] } as const;
    await written<(typeof rows)[number]>(options, rows);
    expect(await ask("SELECT count(*) AS n, min(text) AS first FROM many")).toEqual([
      { n: "10000", first: `row 10000 ${"é".repeat(100)}` },
    ]);
    const writer = await opened<(typeof rows)[number]>(options);
    expect(() => writer.write({ id: 1, text: "x".repeat(300_000) }, 0)).toThrow(
      /takes 300004 characters in a statement, and the server takes 262144; raise max_allowed_packet \(1048576\)/,
    );
    await writer.close();
    await ask("SET GLOBAL max_allowed_packet = 16777216");
  });

  test.each<[string, string, Options<string>, RegExp]>([
    [
      "a table that is not there",
      "",
      { table: "Output", columns: { line: String } },
      /there is no table shop.Output/,
    ],
    [
      "a column in other letters",
      "",
      { table: "output", columns: { Line: String } },
      /no column `Line`; did you mean `line`/,
    ],
    [
      "a table that keeps what is rolled back",
      "ALTER TABLE output ENGINE=MyISAM",
      { table: "output", columns: { line: String } },
      /has the engine MyISAM.*ALTER TABLE `output` ENGINE=InnoDB/,
    ],
    [
      "a view",
      "CREATE VIEW shown AS SELECT * FROM output",
      { table: "shown", columns: { line: String } },
      /is no table but a view/,
    ],
    [
      "a generated column",
      "ALTER TABLE output ADD loud varchar(9) AS (upper(line)) STORED",
      { table: "output", columns: { line: String, loud: String } },
      /column `loud` is generated/,
    ],
    [
      "a column that must have a value",
      "ALTER TABLE output ADD size int NOT NULL",
      { table: "output", columns: { line: String } },
      /`size` must have a value and has no default/,
    ],
    [
      "a key without a unique index",
      "",
      { table: "output", columns: { line: String }, key: ["line"] },
      /no unique index on exactly the key's columns/,
    ],
    [
      "a second unique index",
      "ALTER TABLE output ADD UNIQUE (line), ADD other int, ADD UNIQUE second (other)",
      { table: "output", columns: { line: String, other: () => 1 }, key: ["line"] },
      /another unique index/,
    ],
    [
      "a character set that is not known",
      "ALTER TABLE output MODIFY line varchar(9) CHARACTER SET koi8r",
      { table: "output", columns: { line: String } },
      /character set koi8r/,
    ],
    [
      "a missing table of markers",
      "",
      { table: "output", columns: { line: String }, provision: false },
      /CREATE TABLE IF NOT EXISTS `shop`.`tidemark_marker`/,
    ],
  ])("%s is refused before the first record", async (_, statement, options, message) => {
    await ask("CREATE TABLE output (n bigint AUTO_INCREMENT, line varchar(9) NOT NULL, KEY (n))");
    if (statement !== "") await ask(statement);
    await expect(check(options, { dryRun: true })).rejects.toThrow(EnvironmentError);
    await expect(check(options)).rejects.toThrow(message);
  });

  test("a user who may not write is refused, by what the server says", async () => {
    await ask("CREATE TABLE output (line varchar(9))");
    await check({ table: "output", columns: { line: String } });
    await ask("CREATE OR REPLACE USER clerk");
    await ask("GRANT SELECT ON shop.* TO clerk");
    const options = { table: "output", columns: { line: String }, provision: false };
    await expect(check(options, {}, "clerk")).rejects.toThrow(
      /INSERT command denied.*\(1142\); grant that right/,
    );
    await ask("GRANT INSERT, UPDATE ON shop.* TO clerk");
    await check(options, {}, "clerk");
  });

  test("a record that a constraint refuses, by transaction", async () => {
    await ask("CREATE TABLE output (line varchar(9) UNIQUE, CONSTRAINT short CHECK (length(line) < 5))");
    const writer = await opened<string>({ table: "output", columns: { line: String } });
    const refused = writer.commit(await prepareTransaction(writer, 3, ["fine", "too long"]));
    await expect(refused).rejects.toThrow(CommitRefusedError);
    await expect(refused).rejects.toThrow(
      /committing transaction 3 of writer 0 of sink out: table shop.output refuses a record: .*`short`.*\(4025\).*Nothing of the transaction is written/,
    );
    expect(await ask("SELECT * FROM output")).toEqual([]);
    await writer.close();
  });
});
