/**
 * Explores the protocol and hunts the seeded bugs: `node dist/test/model/main.js [--json] [--bug NAME]`.
 *
 * `--bug` tells the shortest story of that bug, and `--bug all` that of every bug. Exit code 1: a violation, a search
 * that was cut off, or a seeded bug that was not found.
 */
import { flagsOf } from "../flags.ts";
import { seededBugs } from "./bugs/all.ts";
import { summary } from "./checker/checker.ts";
import { type BugResult, explore, hunt, type ScenarioResult, storyOf } from "./protocol/explore.ts";
import { thorough } from "./protocol/scenarios.ts";

const values = flagsOf({
  options: { json: { type: "boolean", default: false }, bug: { type: "string" } },
});

function say(text: string): void {
  if (!values.json) console.log(text);
}

function tellBugs(name: string): void {
  const bugs = seededBugs.filter((bug) => name === "all" || bug.name === name);
  if (bugs.length === 0) {
    console.error(`no seeded bug "${name}"; there are: all, ${seededBugs.map((bug) => bug.name).join(", ")}`);
    process.exitCode = 2;
  }
  for (const bug of bugs) {
    const { result, found } = hunt(bug);
    console.log(`# ${bug.name} (${bug.rule} taken out): ${bug.what}`);
    console.log(result.violation === undefined ? summary(result) : storyOf(result.violation));
    console.log("");
    if (!found) process.exitCode = 1;
  }
}

function exploreAll(): void {
  const started = performance.now();
  const explored = thorough.map((scenario) => {
    const done = explore(scenario);
    say(`${scenario.name.padEnd(28)} ${summary(done.result)}`);
    if (done.result.violation) say(storyOf(done.result.violation));
    return done;
  });
  const hunted = seededBugs.map((bug) => {
    const done = hunt(bug);
    say(
      `${bug.name.padEnd(36)} ${done.found ? "found" : "NOT FOUND"} by ${bug.foundBy}, ${done.result.states} states`,
    );
    return done;
  });
  report(explored, hunted, (performance.now() - started) / 1000);
}

function report(explored: readonly ScenarioResult[], hunted: readonly BugResult[], seconds: number): void {
  const states = explored.reduce((sum, { result }) => sum + result.states, 0);
  const cutOff = explored.some(({ result }) => result.cutOff);
  const violations = explored.flatMap(({ scenario, result }) =>
    result.violation ? [{ scenario: scenario.name, ...result.violation }] : [],
  );
  const found = hunted.filter((one) => one.found).length;
  if (cutOff || violations.length > 0 || found < hunted.length) process.exitCode = 1;
  say(
    `${states} states, ${violations.length} violations, ${found} of ${hunted.length} seeded bugs found, ${seconds.toFixed(0)} s`,
  );
  if (!values.json) return;
  console.log(
    JSON.stringify(
      {
        states,
        cutOff,
        seconds,
        violations,
        seededBugs: hunted.length,
        seededBugsFound: found,
        scenarios: explored.map(({ scenario, result: { violation: _, ...numbers } }) => ({
          ...scenario,
          ...numbers,
        })),
        bugs: hunted.map(({ bug, result, found: isFound }) => ({
          name: bug.name,
          rule: bug.rule,
          what: bug.what,
          found: isFound,
          invariant: result.violation?.invariant,
          states: result.states,
          steps: result.depth,
        })),
      },
      undefined,
      2,
    ),
  );
}

if (values.bug === undefined) exploreAll();
else tellBugs(values.bug);
