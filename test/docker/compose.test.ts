/** What docker/ promises, with the very commands of compose.yaml, on this machine. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { provideNatsServer } from "../../src/nats/server/server-binary.ts";
import { isAtLeast } from "../../src/nats/server/server-version.ts";
import { until, Workspace } from "../cli/workspace.ts";
import { dockerDirectory, Machine, milliseconds, readComposition } from "./compose.ts";

const root = join(dockerDirectory, "..");
const composition = readComposition();
const { services } = composition;
const ours = Object.entries(services).filter(([, { image }]) => image === "tidemark");

describe("compose.yaml", () => {
  test("holds what a deployment needs", () => {
    expect(Object.keys(services)).toEqual([
      "nats",
      "coordinator-1",
      "coordinator-2",
      "worker-1",
      "worker-2",
      "submit",
    ]);
    const version = /^nats:([\d.]+)/.exec(services.nats!.image)![1]!;
    expect(isAtLeast(`${version}.0`, "2.12.0")).toBe(true);
  });

  test.each(ours.filter(([name]) => name !== "submit"))(
    "%s restarts, is checked, and has time to stop",
    (name, service) => {
      expect(service.restart).toBe("unless-stopped");
      expect(service.healthcheck?.test.slice(0, 3)).toEqual(["CMD", "node", "-e"]);
      expect(milliseconds(service.stop_grace_period)).toBeGreaterThan(
        name.startsWith("worker") ? 15_000 : 10_000,
      );
    },
  );

  test("submit runs once", () => expect(services.submit?.restart).toBe("no"));
});

describe("Dockerfile", () => {
  const lines = readFileSync(join(dockerDirectory, "Dockerfile"), "utf8")
    .replace(/\\\n/g, " ")
    .split("\n")
    .filter((line) => /^[A-Z]+ /.test(line));
  const of = (word: string) => lines.filter((line) => line.startsWith(`${word} `));
  const last = lines.slice(lines.lastIndexOf(of("FROM").at(-1)!));

  test("two stages of node:20-slim; only the last is shipped, without what only development needs", () => {
    expect(of("FROM").map((line) => line.split(" ")[1])).toEqual(["node:20-slim", "node:20-slim"]);
    expect(lines.join("\n")).toMatch("npm prune --omit=dev");
    expect(last.filter((line) => line.startsWith("COPY"))).toSatisfy((copies: string[]) =>
      copies.every((copy) => copy.includes("--from=build")),
    );
  });

  test("not as root, and node itself gets the signals", () => {
    expect(last).toContain("USER node");
    expect(last.indexOf("USER node")).toBeGreaterThan(last.findLastIndex((line) => line.startsWith("RUN")));
    expect(last.find((line) => line.startsWith("ENTRYPOINT"))).toBe(
      'ENTRYPOINT ["node", "/app/dist/src/cli/main.js"]',
    );
  });

  test("everything that it copies is there, and not ignored", () => {
    const ignored = readFileSync(join(root, ".dockerignore"), "utf8").trim().split("\n");
    const copied = of("COPY")
      .filter((line) => !line.includes("--from"))
      .flatMap((line) => line.split(" ").slice(1, -1));
    for (const name of copied) {
      expect(existsSync(join(root, name)), name).toBe(true);
      expect(ignored).not.toContain(name);
    }
    expect(ignored).toEqual(expect.arrayContaining(["**/node_modules", "**/dist", ".git"]));
  });
});

describe("the composition, as processes", () => {
  let workspace: Workspace;
  let machine: Machine;
  beforeEach(async () => {
    workspace = await Workspace.create();
    machine = await Machine.create(workspace, (await provideNatsServer()).path, composition);
  });
  afterEach(async () => {
    for (const { process } of machine.containers.values()) process.kill("SIGKILL");
    await Promise.all([...machine.containers.values()].map(({ exited }) => exited));
    await workspace.remove();
  });

  test("comes up, works, survives kill -9 of any part, and stops in good order", async () => {
    for (const name of Object.keys(services)) await machine.start(name);
    const container = (name: string) => machine.containers.get(name)!;
    const submitted = await container("submit").exited;
    expect(submitted).toMatchObject({ code: 0 });
    expect(submitted.output).toMatch("job word-lengths is submitted");

    const connection = await connect({ servers: `127.0.0.1:${machine.natsPort}` });
    const manager = await jetstreamManager(connection);
    let last = 0;
    const goesOn = async (why: string) => {
      const before = last;
      const grown = async () => {
        // While the server is away there is no answer.
        const found = await manager.streams.info("LENGTHS").catch(() => undefined);
        last = found?.state.messages ?? last;
        return last > before;
      };
      await until(grown, () => `output ${why}`);
      // What had been on its way before does not count.
      const now = last;
      await until(
        async () => (await grown()) && last > now,
        () => `more output ${why}`,
      );
    };
    await goesOn("at first");
    for (const [name] of ours.filter(([one]) => one !== "submit"))
      await until(
        () => container(name).healthy(),
        () => `${name} to be healthy`,
      );

    const again = await (await machine.start("submit")).exited;
    expect(again.code).toBe(4);
    expect(again.output).toMatch("job word-lengths is running already");

    // restart: unless-stopped
    for (const name of ["worker-1", "coordinator-1", "nats"]) {
      const victim = container(name);
      victim.process.kill("SIGKILL");
      await victim.exited;
      await machine.start(name);
      await goesOn(`after ${name} was killed`);
    }
    await connection.close();

    for (const name of ["worker-1", "worker-2", "coordinator-1", "coordinator-2", "nats"]) {
      const { code, signal, output } = await container(name).stop();
      expect({ name, code, signal }, output).toEqual({
        name,
        code: name === "nats" ? expect.any(Number) : 0,
        signal: null,
      });
    }
  });
});
