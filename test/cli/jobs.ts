/** Job files as a user would write them, and what their output must be. */
import { bundled } from "../support/servers/compiled.ts";

export interface CountingJob {
  readonly name?: string;
  readonly count: number;
  readonly ratePerSecond?: number;
  /** It gives out `ratePerSecond`, and does not end, until the workspace releases it. */
  readonly held?: boolean;
  readonly parallelism?: number;
  readonly directory?: string;
  /** Further options of the job, as code. */
  readonly options?: string;
  /** Further options of `checkpointing`, as code. */
  readonly checkpointing?: string;
  /** Id of the counting operator. */
  readonly operator?: string;
}

const KEYS = 10;
/** In the directory of the job file: the sources of held jobs look for it. */
export const RELEASE_FILE = "released";

/** Counts numbers by their last digit; one line for each record: `<key> <count> <number>`. */
export function countingJob(job: CountingJob, language: "ts" | "js" = "js"): string {
  const { name = "counting", count, ratePerSecond, parallelism = 2, directory = "out", options = "" } = job;
  const { checkpointing = "", operator = "count", held = false } = job;
  const rate = ratePerSecond === undefined || held ? "" : `ratePerSecond: ${ratePerSecond}, `;
  const typed = (text: string) => (language === "ts" ? text : "");
  const generator = `generatorSource({ count: ${count}, ${rate}splits: 2, generate: (index${typed(": number")})${typed(": Seen")} => ({ number: index }) })`;
  const source = held ? `throttled(${generator}, ${heldPace(job)})` : generator;
  const imported = held
    ? `import { fileURLToPath } from "node:url";\nimport { throttled } from "${bundled("test/support/graphs/throttled-source.ts")}";\n`
    : "";
  return `${imported}import { defineJob, fileSink, generatorSource, valueState } from "tidemark";
${typed("\ninterface Seen {\n  readonly number: number;\n}\n")}
export default defineJob("${name}", { parallelism: ${parallelism}, checkpointing: { interval: "200ms", ${checkpointing} }, ${options} }, (job) => {
  job
    .source("numbers", ${source})
    .keyBy((seen) => seen.number % ${KEYS})
    .process("${operator}", {
      state: { count: valueState(0) },
      onRecord(seen, { key, state }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        return \`\${key} \${count} \${seen.number}\`;
      },
    })
    .sink("lines", fileSink({ directory: "${directory}" }));
});
`;
}

/** Each generation of a subtask gives out an eighth of its records before it is released. */
function heldPace({ count, ratePerSecond = count, parallelism = 2 }: CountingJob): string {
  const records = Math.ceil(count / parallelism / 8);
  const file = `fileURLToPath(new URL("${RELEASE_FILE}", import.meta.url))`;
  return `{ recordsPerSecond: ${ratePerSecond / parallelism}, heldUntil: { file: ${file}, records: ${records} } }`;
}

/**
 * Checks that each of the first `count` numbers is there exactly once, and that the counts of each key are 1, 2, 3, …
 * without a gap: the state went on where it was.
 * @returns what is wrong; empty when nothing is
 */
export function wrongCounts(lines: readonly string[], count: number): string[] {
  const wrong: string[] = [];
  const numbers = new Map<number, number>();
  const counts = new Map<number, Set<number>>();
  for (const line of lines) {
    const [key = -1, nth = -1, number = -1] = line.split(" ").map(Number);
    numbers.set(number, (numbers.get(number) ?? 0) + 1);
    if (number % KEYS !== key) wrong.push(`"${line}" has a wrong key`);
    const seen = counts.get(key) ?? new Set();
    if (seen.has(nth)) wrong.push(`key ${key} reached ${nth} twice`);
    counts.set(key, seen.add(nth));
  }
  for (let number = 0; number < count; number++) {
    const times = numbers.get(number) ?? 0;
    if (times !== 1) wrong.push(`number ${number} is there ${times} times`);
  }
  if (lines.length !== count) wrong.push(`${lines.length} lines instead of ${count}`);
  for (const [key, seen] of counts)
    for (let nth = 1; nth <= seen.size; nth++)
      if (!seen.has(nth)) wrong.push(`key ${key} never reached ${nth}`);
  return wrong.slice(0, 10);
}
