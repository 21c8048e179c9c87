import { describe, expect, test } from "vitest";
import { parseBenchArguments } from "./arguments.ts";

const ALL = ["engineOnly", "recoveryMs", "rssMb.worker1", "rssMb.worker2"];
const LARGE = ["rssMb.large", "recoveryOfManyMs"];

const parse = (...args: string[]) =>
  parseBenchArguments(args, [
    ...ALL.map((name) => ({ name })),
    ...LARGE.map((name) => ({ name, large: true })),
  ]);

describe("figures", () => {
  test.each<[string[], string[]]>([
    [[], ALL],
    [
      ["--figures", "recoveryMs,engineOnly"],
      ["engineOnly", "recoveryMs"],
    ],
    [
      ["--figures", "engineOnly, rssMb"],
      ["engineOnly", "rssMb.worker1", "rssMb.worker2"],
    ],
    [
      ["--only", "recoveryMs", "--only", "rssMb.worker2"],
      ["recoveryMs", "rssMb.worker2"],
    ],
    [["--large"], [...ALL, ...LARGE]],
    [
      ["--large", "--figures", "rssMb"],
      ["rssMb.worker1", "rssMb.worker2", "rssMb.large"],
    ],
    [["--figures", "rssMb.large"], ["rssMb.large"]],
  ])("%j selects %j", (args, names) => expect([...parse(...args).figures]).toEqual(names));

  test.each([
    ["--figures", "engineOnly,engine"],
    ["--only", "rss"],
    ["--figures", "engineOnly.x"],
  ])("%s %s names one that there is not", (...args) =>
    expect(() => parse(...args)).toThrow(/^there is no figure ".+"; there are engineOnly, recoveryMs/),
  );

  test("an empty list is no selection", () => {
    expect(() => parse("--figures", ",")).toThrow("--figures names none; there are engineOnly");
  });
});

test("more rounds when copies are compared, the same number with either copy first", () => {
  expect(parse()).toMatchObject({ rounds: 5, against: undefined });
  expect(parse("--against", "../base")).toMatchObject({ rounds: 6, roundsMax: 18, against: "../base" });
  expect(parse("--against", "../base", "--rounds", "30")).toMatchObject({ rounds: 30, roundsMax: 30 });
});

test.each<[string[], string]>([
  [["--rounds", "0"], "--rounds 0: give a whole number from 1 on"],
  [["--rounds", "2.5"], "--rounds 2.5: give a whole number from 1 on"],
  [["--rounds", ""], "--rounds : give a whole number from 1 on"],
  [["--against", "x", "--rounds", "1"], "--rounds 1: give a whole number from 2 on"],
  [["--against", "x", "--rounds", "8", "--rounds-max", "4"], "--rounds-max 4: give a whole number from 8 on"],
  [["--records", "1000"], "--records 1000: give a whole number from 50000 on"],
  [["--records", "60010"], "--records 60010: use a multiple of 100"],
  [["--against", "x", "--check"], "leave one of them out"],
  [["--rounds-max", "9"], "add --against DIR"],
  [["--agianst", "x"], "--agianst"],
  [["--against"], "--against"],
])("%j is refused: %s", (args, message) => {
  expect(() => parse(...args)).toThrow(message);
});
