/**
 * The table of machines in machines/README.md: each machine there is has one row, and its files are what the row says.
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const rows = [
  ...read("machines/README.md").matchAll(
    /^\| \[`([\w-]+)\.ts`\]\(([\w/]+\/\1\.ts)\) \| `(.+)` \| `(.+)` \|$/gm,
  ),
].map(([, , machine, host, proof]) => [machine!, host!, proof!] as const);
const definitionIn = (path: string) => /export const (\w+Machine) = /.exec(read(path))?.[1];

test("the table has a row for each machine", () => {
  const files = readdirSync(new URL("../../machines/", import.meta.url), {
    recursive: true,
    encoding: "utf8",
  }).filter((file) => file.endsWith(".ts"));
  const machines = files.filter((file) => definitionIn(`machines/${file}`) !== undefined);
  expect(rows.map(([machine]) => machine).sort()).toEqual(machines.sort());
});

test.each(rows)("%s is hosted and proven where the table says", (machine, host, proof) => {
  const name = definitionIn(`machines/${machine}`)!;
  expect(read(host)).toContain(`machine: ${name},`);
  expect(read(proof)).toContain(name);
});
