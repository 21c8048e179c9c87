/** Commands that a message advises run as they are printed: they get the options of the command that prints them. */
import { join } from "node:path";
import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { Advice } from "../../../src/cli/output/advice.ts";

const CONNECTION = [
  ["--server <url>", "TIDEMARK_SERVER"],
  ["--creds <file>", "TIDEMARK_CREDS"],
  ["--password <password>", "TIDEMARK_PASSWORD"],
  ["--domain <name>", "TIDEMARK_DOMAIN"],
  ["--prefix <tokens>", "TIDEMARK_PREFIX"],
  ["--tls", "TIDEMARK_TLS"],
] as const;

/** What a program whose user has typed `line` makes of messages. */
function typed(line: readonly string[]): Advice {
  const program = new Command("tidemark");
  let made: Advice | undefined;
  const add = (parent: Command, name: string, argument?: string) => {
    const command = parent.command(name);
    if (argument !== undefined)
      command.argument(argument, "TypeScript or JavaScript file that exports a job by default");
    for (const [flags] of CONNECTION) command.option(flags);
    command.action(() => {
      made = new Advice(program, command);
    });
    return command;
  };
  const all = (pair: string, before: readonly string[]) => [...before, pair];
  add(program, "run", "<job>").option("--fresh").option("-c, --config <pair>", "", all, []);
  add(program, "status", "[name]");
  add(program, "cancel", "<name>");
  add(program, "list");
  add(program.command("checkpoints"), "verify", "<name>");
  program.parse(["node", "tidemark", ...line]);
  return made!;
}

describe("a command in a message", () => {
  const advice = typed([
    "run",
    "a job.ts",
    "--server",
    "nats://h:1,h:2",
    "--prefix",
    "acme.t",
    "-c",
    "checks=true",
    "--fresh",
  ]);
  test.each([
    ['see "tidemark status words"', 'see "tidemark status --server=nats://h:1,h:2 --prefix=acme.t words"'],
    [
      '"tidemark list" lists the jobs',
      '"tidemark list --server=nats://h:1,h:2 --prefix=acme.t" lists the jobs',
    ],
    [
      "(tidemark checkpoints verify words)",
      "(tidemark checkpoints verify --server=nats://h:1,h:2 --prefix=acme.t words)",
    ],
    [
      "run: tidemark run FILE --skip-gaps in",
      "run: tidemark run --server=nats://h:1,h:2 --prefix=acme.t --config=checks=true 'a job.ts' --skip-gaps in",
    ],
    [
      "nats stream info A, nats account info.",
      "nats stream info A --server=nats://h:1,h:2, nats account info --server=nats://h:1,h:2.",
    ],
    [
      "nats stream add A --subjects='a, b' --server=nats://x:1 (it)",
      "nats stream add A --subjects='a, b' --server=nats://x:1 (it)",
    ],
  ])("%s", (said, completed) => expect(advice.complete(said)).toBe(completed));

  test("that only names a process or nothing of ours stays as it is", () => {
    for (const said of [
      'led by the "tidemark run" of pid 7 on host',
      'a "tidemark run" that is gone',
      "use the tidemark command",
      "true in tidemark run, else false",
      "look into FILE",
    ])
      expect(advice.complete(said)).toBe(said);
  });

  test("shows no secret, and does not repeat the environment", () => {
    const secret = typed([
      "status",
      "--server",
      "nats://me:pw@h:1",
      "--password",
      "pw",
      "--tls",
      "--creds",
      "it's",
    ]);
    const said = secret.complete('"tidemark cancel words"');
    expect(said).toBe(
      `"tidemark cancel --server=nats://me:…@h:1 --creds='it'\\''s' --password=… --tls words"`,
    );
  });

  test("of a run that provides the server names it for all but the run", () => {
    const run = typed(["run", "job.ts"]);
    run.serverProvided("nats://127.0.0.1:4321");
    expect(run.complete('"tidemark cancel words", then "tidemark run FILE"; nats stream ls')).toBe(
      '"tidemark cancel --server=nats://127.0.0.1:4321 words", then "tidemark run job.ts"; nats stream ls --server=nats://127.0.0.1:4321',
    );
    run.contextFound("nats://127.0.0.1:4321", join(process.cwd(), "here/context.json"));
    expect(
      run.complete(
        "(nats kv add T --server=nats://127.0.0.1:4321 && nats stream edit KV_T --server=nats://127.0.0.1:4321), nats stream ls --server=nats://other:1",
      ),
    ).toBe(
      "(nats kv add T --context=here/context.json && nats stream edit KV_T --context=here/context.json), nats stream ls --server=nats://other:1",
    );
  });
});
