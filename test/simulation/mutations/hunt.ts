/** Runs the simulation on a copy of the tree with one mutation in it, until a seed fails. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { root } from "../../support/servers/compiled.ts";
import { ROOMY } from "../runner/runner.ts";
import type { Change, Mutation } from "./mutations.ts";

export interface Hunt {
  readonly mutation: string;
  /** undefined: no seed has found it. */
  readonly foundBy: number | undefined;
  readonly findings: readonly string[];
  /** The smallest run that still fails, if it was asked for. */
  readonly smallest?: { readonly faults: number; readonly story: readonly string[] };
}

const COPIED = [
  "src",
  "machines",
  "test/simulation",
  "test/chaos/random.ts",
  "test/support/servers/compiled.ts",
  "test/flags.ts",
  "package.json",
];

/** @param shrinks also makes the failing run small. Default: no */
export async function hunt(mutation: Mutation, seedsMax: number, shrinks = false): Promise<Hunt> {
  const copy = await mkdtemp(join(tmpdir(), "tidemark-mutation-"));
  try {
    for (const path of COPIED) {
      await mkdir(dirname(join(copy, path)), { recursive: true });
      await cp(join(root, path), join(copy, path), { recursive: true });
    }
    await symlink(join(root, "node_modules"), join(copy, "node_modules"));
    for (const change of changesOf(mutation)) {
      const file = join(copy, change.file);
      await writeFile(file, mutate(await readFile(file, "utf8"), change, mutation.name));
    }
    const report = JSON.parse(await simulateIn(copy, seedsMax, mutation.draws, shrinks));
    const [failure] = report.failures;
    return {
      mutation: mutation.name,
      foundBy: failure?.seed,
      findings: failure?.findings ?? [],
      ...(failure?.story === undefined ? {} : { smallest: failure }),
    };
  } finally {
    await rm(copy, { recursive: true });
  }
}

export function changesOf({ also = [], ...first }: Mutation): readonly Change[] {
  return [first, ...also];
}

/** @throws Error when the text is not there exactly once */
export function mutate(text: string, { file, find, replace }: Change, name: string): string {
  const parts = text.split(find);
  if (parts.length !== 2)
    throw new Error(`mutation "${name}": its text is ${parts.length - 1} times in ${file}`);
  return parts.join(replace);
}

function simulateIn(
  copy: string,
  seedsMax: number,
  draws: string | undefined,
  shrinks: boolean,
): Promise<string> {
  const jiti = join(copy, "node_modules/jiti/lib/jiti-cli.mjs");
  const asked = ["--seeds", String(seedsMax), "--processes", "1", "--until-failure"];
  const drawn = draws === undefined ? [] : ["--draws", draws];
  const quietly = ["--no-mutations", "--json", ...(shrinks ? [] : ["--no-shrink"])];
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [ROOMY, jiti, join(copy, "test/simulation/main.ts"), ...asked, ...drawn, ...quietly],
      { cwd: copy, maxBuffer: 2 ** 26 },
      // A failing seed is what is hoped for: its exit code is 1.
      (error, stdout, stderr) => (stdout === "" ? reject(error ?? new Error(stderr)) : resolve(stdout)),
    );
  });
}
