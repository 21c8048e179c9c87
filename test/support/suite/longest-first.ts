/**
 * The order in which test files begin: the longest first, so that no core is left with a long one at the end. What a
 * file takes is known from its last run; a fresh checkout goes by what it starts, and by its size.
 */
import { relative } from "node:path";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { quickTests } from "./quick-tests.ts";

/** They run for minutes, however small the file is. */
const LONG = [
  "test/model/protocol",
  "test/recovery/",
  "test/chaos/",
  "test/fuzz/",
  "test/simulation/",
  "test/package/",
  "test/readme/",
  "test/cli/",
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const quick = new Set(quickTests());
    const weightOf = ({ moduleId }: TestSpecification): number => {
      const file = relative(this.ctx.config.root, moduleId);
      if (quick.has(file)) return 0;
      return LONG.some((folder) => file.startsWith(folder)) ? 2 : 1;
    };
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => weightOf(b) - weightOf(a));
  }
}
