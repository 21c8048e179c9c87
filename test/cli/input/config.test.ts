/** The origins of options: config files, `config print`, and a checkpoint storage that is the same for all. */
import { existsSync, mkdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { until, Workspace } from "../workspace.ts";

let workspace: Workspace;
let server: TestServer;
beforeAll(async () => {
  workspace = await Workspace.create();
  server = await startTestServer();
  workspace.write("job.mjs", countingJob({ count: 10 }));
  workspace.write(
    "cluster.yaml",
    "execution.checkpointing:\n  interval: 1 s\n  min-pause: 2 s\n  max-concurrent-checkpoints: 3\ncheckpointing.timeout: 1 m\n",
  );
});
afterAll(async () => {
  await workspace.remove();
  await server.stop();
});

const here = (...args: string[]) => [...args, "--server", server.url];

/** A job that has finished keeps none. */
const checkpointsIn = (directory: string) =>
  until(
    () => existsSync(workspace.path(directory)),
    () => directory,
  );

interface Printed {
  readonly job: string | null;
  readonly options: readonly { readonly key: string; readonly value: unknown }[];
  readonly warnings: readonly string[];
}

describe("config print", () => {
  test("shows every value and its origin, and warns", async () => {
    const { code, stdout, stderr } = await workspace.run(
      [
        "config",
        "print",
        "job.mjs",
        "--config-file",
        "cluster.yaml",
        "-c",
        "state.checkpoints.num-retained=2",
        "-p",
        "3",
      ],
      { env: { TIDEMARK_CHECKPOINTING_TIMEOUT: "20 s", TIDEMARK_CHECKPOINT_DIR: "checkpoints" } },
    );
    expect(code).toBe(0);
    const lines = stdout.split("\n").map((line) => line.trim().replace(/ {3,}/g, " | "));
    expect(lines).toContain("parallelism | 3 | command line (--parallelism)");
    expect(lines).toContain("maxParallelism | 128 | default");
    expect(lines).toContain(
      "checkpointing.interval | 2 s | job code; 200 ms was asked for: raised to checkpointing.minPause, 2 s",
    );
    expect(lines).toContain(
      "checkpointing.minPause | 2 s | config file (execution.checkpointing.min-pause in cluster.yaml:3)",
    );
    expect(lines).toContainEqual(
      expect.stringMatching(/^checkpointing.maxConcurrent \| 1 \| config file .*; 3 was asked for: /),
    );
    expect(lines).toContain("checkpointing.timeout | 20 s | environment (TIDEMARK_CHECKPOINTING_TIMEOUT)");
    expect(lines).toContain("checkpointing.savepointTimeout | 20 s | default; as checkpointing.timeout");
    expect(lines).toContain("checkpointing.retained | 2 | command line (state.checkpoints.num-retained)");
    expect(lines).toContain(
      `checkpointing.directory | ${workspace.path("checkpoints")} | environment (TIDEMARK_CHECKPOINT_DIR)`,
    );
    expect(stderr.trim().split("\n")).toEqual([
      "tidemark: warning: checkpointing.interval: 200 ms becomes 2 s: raised to checkpointing.minPause, 2 s",
      "tidemark: warning: execution.checkpointing.max-concurrent-checkpoints (from cluster.yaml:4): 3 becomes 1: " +
        "checkpointing.minPause, 2 s, lies between any two checkpoints",
    ]);
    expect(existsSync(workspace.path("checkpoints"))).toBe(false);
  });

  test("without a job, and as JSON", async () => {
    const { code, stdout, stderr } = await workspace.run(["config", "print", "--json"], {
      env: { TIDEMARK_CONFIG_FILE: "cluster.yaml" },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const printed = JSON.parse(stdout) as Printed;
    expect(printed.job).toBeNull();
    expect(printed.warnings).toHaveLength(2);
    expect(printed.options.find(({ key }) => key === "checkpointing.interval")).toEqual({
      key: "checkpointing.interval",
      value: 2_000,
      unit: "ms",
      text: "2 s",
      origin: { layer: "config file", place: "cluster.yaml:2" },
      spelling: "execution.checkpointing.interval",
      asked: "1 s",
      because: "raised to checkpointing.minPause, 2 s",
    });
  });

  test.each([
    ["a file that is not there", ["--config-file", "claster.yaml"], "config file claster.yaml: no such file"],
    [
      "an unknown key",
      ["-c", "taskmanager.numberOfTaskSlots=2"],
      "taskmanager.numberOfTaskSlots (from the command line): no such option",
    ],
    ["a misspelt flag", ["--jsn"], '"tidemark config print --help" lists the options'],
    [
      "two names of one option",
      ["-p", "2", "-c", "parallelism=3"],
      'parallelism (from the command line) is "3", but --parallelism (from the command line) is 2',
    ],
  ])("refuses %s", async (_, args, says) => {
    const { code, stderr } = await workspace.run(["config", "print", ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(says);
  });
});

describe("run", () => {
  test("takes a config file, hands it to all processes, and warns once", async () => {
    workspace.write(
      "kept.yaml",
      "execution.checkpointing.dir: kept\nexecution.checkpointing.unaligned.forced: true\nrestart-strategy: none\n",
    );
    workspace.write(
      "run.mjs",
      countingJob({ name: "filed", count: 400, ratePerSecond: 200, directory: "filed" }),
    );
    const running = workspace.start(here("run", "run.mjs", "--config-file", "kept.yaml"));
    await checkpointsIn("kept/filed");
    const { code, stderr } = await running.ended;
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr:
        "tidemark: warning: execution.checkpointing.unaligned.forced (from kept.yaml:2): has no effect without " +
        "checkpointing.unaligned\n",
    });
    expect(wrongCounts(workspace.lines("filed"), 400)).toEqual([]);
  });

  test("gives its processes the storage that the job's code asks for", async () => {
    workspace.write(
      "coded.mjs",
      countingJob({ name: "coded", count: 400, ratePerSecond: 200, directory: "coded" }).replace(
        'interval: "200ms"',
        'interval: "200ms", directory: "in-code"',
      ),
    );
    const running = workspace.start(here("run", "coded.mjs"));
    await checkpointsIn("in-code/coded");
    expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines("coded"), 400)).toEqual([]);
  });
});

describe("a coordinator", () => {
  test("takes its storage from a config file, and refuses a job that asks for another one", async () => {
    mkdirSync(workspace.path("cluster"));
    workspace.write("storage.yaml", "checkpointing:\n  directory: cluster\n");
    const coordinator = workspace.start(here("coordinator", "--config-file", "storage.yaml"));
    await coordinator.says("leading");
    const refused = await workspace.run(here("submit", "job.mjs", "--checkpoint-dir", "elsewhere"));
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain(
      `job counting asks for checkpoints in directory ${workspace.path("elsewhere")}, but this coordinator keeps them in ` +
        `directory ${workspace.path("cluster")}`,
    );
    // A job that asks for no storage takes what there is.
    expect(await workspace.run(here("submit", "job.mjs"))).toMatchObject({ code: 0, stderr: "" });
    coordinator.kill("SIGTERM");
    expect(await coordinator.ended).toMatchObject({ code: 0 });
  });
});
