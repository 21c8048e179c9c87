/**
 * `npm test`: every check of the repository, and a last line that counts them. `npm run test:quick` leaves out what
 * starts servers, processes or whole engines (`quick-tests.ts`).
 *
 * A check is the script `check:<name>` of package.json and counts as one test; of vitest each test counts. All of them
 * run even when one fails, and when they are interrupted, the count of what was done is still the last line. The import
 * table and the lint over the machines are tests too.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quickTests } from "./quick-tests.ts";

const isQuick = process.argv.includes("--quick");
const checks = ["format", "lint", "types", ...(isQuick ? [] : ["unused"])];

interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The part that we read of vitest's JSON report. */
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

const failures: string[] = [];
let running: ChildProcess | undefined;
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => {
    interrupted = true;
    running?.kill(signal);
  });

const counts: Count[] = [];
for (const work of [...checks.map((name) => () => check(name)), tests])
  if (!interrupted) counts.push(await work());
const sum = (of: (count: Count) => number): number => counts.reduce((total, count) => total + of(count), 0);
const [passed, failed, skipped] = [sum((c) => c.passed), sum((c) => c.failed), sum((c) => c.skipped)];

if (failures.length > 0) console.log(`\nFailed: ${failures.join(", ")}; what each of them found is above.`);
if (interrupted) console.log("\nInterrupted: the rest was not run.");
if (skipped > 0) console.log(`\n${skipped} skipped`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || interrupted ? 1 : 0;

async function check(name: string): Promise<Count> {
  const succeeded = await run(name, []);
  return { passed: succeeded ? 1 : 0, failed: succeeded ? 0 : 1, skipped: 0 };
}

async function tests(): Promise<Count> {
  const folder = mkdtempSync(join(tmpdir(), "tidemark-report-"));
  const file = join(folder, "vitest.json");
  try {
    const reporters = ["--reporter=./test/support/suite/progress-reporter.ts", "--reporter=json"];
    const files = isQuick ? quickTests() : [];
    const succeeded = await run("tests", [...reporters, `--outputFile.json=${file}`, ...files]);
    return countTests(JSON.parse(readFileSync(file, "utf8")) as Report, succeeded);
  } catch (error) {
    console.error("vitest left no report:", error);
    return { passed: 0, failed: 1, skipped: 0 };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A file that cannot be loaded, and an error outside of all tests, count as a failed test. */
function countTests(report: Report, succeeded: boolean): Count {
  const broken = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === "failed" && !assertionResults.some((each) => each.status === "failed"),
  );
  const failed = report.numFailedTests + broken.length;
  return {
    passed: report.numPassedTests,
    failed: succeeded ? failed : Math.max(failed, 1),
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

async function run(name: string, args: readonly string[]): Promise<boolean> {
  console.log(`\n— ${name}`);
  const npm = ["run", "--silent", `check:${name}`, ...(args.length > 0 ? ["--", ...args] : [])];
  const child = spawn("npm", npm, { stdio: "inherit" });
  running = child;
  const succeeded = await new Promise<boolean>((resolve) => {
    child.once("error", (error) => {
      console.error(error);
      resolve(false);
    });
    child.once("close", (code) => resolve(code === 0));
  });
  if (!succeeded) failures.push(name);
  return succeeded;
}
