import { expect, test } from "vitest";
import { LogOutput } from "../../src/observe/log-output.ts";

test("lines that could not be written are counted, and the next one that can says so", () => {
  const written: string[] = [];
  let obstacle: string | undefined;
  const write = (text: string) => {
    if (obstacle === undefined) written.push(text);
    return obstacle;
  };
  const output = new LogOutput(write, (missing, reason) => `${missing} missing: ${reason}`);
  output.write("one\n");
  obstacle = "no space";
  output.write("two\n");
  output.write("three\n");
  obstacle = undefined;
  output.write("four\n");
  output.write("five\n");
  expect(written).toEqual(["one\n", "2 missing: no space\nfour\n", "five\n"]);
});
