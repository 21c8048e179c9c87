/**
 * What `npm test` shows while it runs, on a terminal and in a log: a plain line for each file that is through, and
 * every now and then what is still running. Failures are told in full at the end, by the reporter that this one
 * extends.
 */
import { DefaultReporter, type TestCase, type TestModule, type TestSpecification } from "vitest/node";

const STILL_RUNNING_EVERY_MS = 15_000;

export default class ProgressReporter extends DefaultReporter {
  #files = 0;
  #filesOver = 0;
  #testsOver = 0;
  readonly #running = new Map<TestModule, number>();
  #begunMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    super({ summary: false });
  }

  override onTestRunStart(specifications: readonly TestSpecification[]): void {
    super.onTestRunStart(specifications);
    this.#files = specifications.length;
    this.#begunMs = performance.now();
    this.#timer = setInterval(() => this.#tellWhatRuns(), STILL_RUNNING_EVERY_MS);
  }

  override onTestRunEnd(...args: Parameters<DefaultReporter["onTestRunEnd"]>): void {
    clearInterval(this.#timer);
    super.onTestRunEnd(...args);
  }

  override onTestModuleCollected(module: TestModule): void {
    this.#running.set(module, 0);
    super.onTestModuleCollected(module);
  }

  override onTestCaseResult(test: TestCase): void {
    this.#testsOver++;
    this.#running.set(test.module, (this.#running.get(test.module) ?? 0) + 1);
    super.onTestCaseResult(test);
  }

  protected override printTestModule(module: TestModule): void {
    this.#filesOver++;
    this.#running.delete(module);
    this.#timer?.refresh();
    const tests = [...module.children.allTests()];
    const failed = tests.filter((test) => test.result().state === "failed");
    const broken = module.state() === "failed" && failed.length === 0;
    const count =
      failed.length > 0 ? `${failed.length} of ${tests.length} tests failed` : `${tests.length} tests`;
    const seconds = `${(module.diagnostic().duration / 1000).toFixed(1)} s`;
    const mark = failed.length > 0 || broken ? "✗" : "✓";
    this.#tell(`${mark} ${module.relativeModuleId}: ${broken ? "could not be run" : count}, ${seconds}`);
    for (const test of failed) this.log(`${" ".repeat(8)}✗ ${test.fullName}`);
  }

  #tellWhatRuns(): void {
    const running = [...this.#running].map(
      ([module, over]) => `${module.relativeModuleId} (${over} of ${[...module.children.allTests()].length})`,
    );
    if (running.length > 0) this.#tell(`… ${running.join(", ")}`);
  }

  #tell(what: string): void {
    const seconds = Math.floor((performance.now() - this.#begunMs) / 1000);
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    this.log(
      `${time.padStart(6)}  ${this.#filesOver}/${this.#files} files, ${this.#testsOver} tests  ${what}`,
    );
  }
}
