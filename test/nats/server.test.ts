/** Finding, fetching and running real nats-servers. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ConfigurationError, EnvironmentError } from "../../src/errors.ts";
import {
  findFreePort,
  type NatsServer,
  type NatsServerOptions,
  startNatsServer,
} from "../../src/nats/server/server.ts";
import { provideNatsServer } from "../../src/nats/server/server-binary.ts";
import { startTestServer } from "../support/servers/nats.ts";

const root = mkdtempSync(join(tmpdir(), "tidemark-server-"));
afterAll(() => rmSync(root, { recursive: true }));

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(root, "test-"));
});

let binary: string;
beforeAll(async () => {
  binary = (await provideNatsServer()).path;
});

function script(path: string, body: string): string {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

const printing = (version: string) => `echo "nats-server: v${version}"`;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A zombie is a process that has ended.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("providing the binary", () => {
  const cachedName = `tidemark/nats-server/nats-server-${process.platform}-${process.arch}`;
  const provide = (environment: Record<string, string>, options = {}) =>
    provideNatsServer({ environment: { HOME: dir, ...environment }, fetch: false, ...options });

  test("an explicit path comes first: the option, then the environment", async () => {
    const option = script(join(dir, "a"), printing("2.12.1"));
    const variable = script(join(dir, "b"), printing("2.13.0-preview.1"));
    const environment = { TIDEMARK_NATS_SERVER: variable, PATH: join(binary, "..") };
    expect(await provide(environment, { path: option })).toEqual({
      path: option,
      version: "2.12.1",
      origin: "option",
    });
    expect(await provide(environment)).toEqual({ path: variable, version: "2.13.0", origin: "environment" });
  });

  test.each([
    ["that is missing", () => join(dir, "missing"), "does not exist"],
    ["of a directory", () => dir, "is not an executable file"],
    [
      "of an old version",
      () => script(join(dir, "old"), printing("2.9.10")),
      "is version 2.9.10, older than 2.12.0",
    ],
    ["of another program", () => script(join(dir, "other"), "echo hello 3.0.0"), "is no nats-server"],
    [
      "of a program that fails",
      () => script(join(dir, "failing"), "exit 3"),
      "cannot be run: Command failed",
    ],
  ])("an explicit path %s is refused, not skipped", async (_what, make, why) => {
    const path = make();
    const error = await provide({ TIDEMARK_NATS_SERVER: path, PATH: join(binary, "..") }).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error).toMatchObject({
      key: "TIDEMARK_NATS_SERVER",
      message: expect.stringContaining(`${path}, which ${why}`),
    });
  });

  test("on PATH older ones are passed over, then the first one counts", async () => {
    script(join(dir, "old/nats-server"), printing("2.11.9"));
    const first = script(join(dir, "first/nats-server"), printing("2.12.0"));
    script(join(dir, "second/nats-server"), printing("2.15.1"));
    const PATH = ["/nowhere", "old", "first", "second"].map((name) => join(dir, name)).join(":");
    expect(await provide({ PATH })).toEqual({ path: first, version: "2.12.0", origin: "path" });
  });

  test("the cache comes after PATH, in XDG_CACHE_HOME or ~/.cache", async () => {
    const old = script(join(dir, "old/nats-server"), printing("2.9.10"));
    const home = script(join(dir, ".cache", cachedName), printing("2.14.0"));
    expect(await provide({ PATH: join(old, "..") })).toEqual({
      path: home,
      version: "2.14.0",
      origin: "cache",
    });
    const xdg = script(join(dir, "xdg", cachedName), printing("2.15.0"));
    expect(await provide({ PATH: "", XDG_CACHE_HOME: join(dir, "xdg") })).toMatchObject({ path: xdg });
  });

  test("without any, the error lists what was tried and how to get one", async () => {
    script(join(dir, "bin/nats-server"), printing("2.9.10"));
    const error = (await provide({ PATH: join(dir, "bin") }).catch((e: unknown) => e)) as Error;
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(error.message).toContain("bin/nats-server is version 2.9.10, older than 2.12.0");
    expect(error.message).toContain(`.cache/${cachedName} does not exist`);
    for (const way of [
      "brew install nats-server",
      "release archive",
      "container image",
      "TIDEMARK_NATS_SERVER",
    ]) {
      expect(error.message).toContain(way);
    }
  });

  test("a machine without apt is told so", async () => {
    const path = process.env.PATH;
    process.env.PATH = dir;
    try {
      await expect(provide({ PATH: dir }, { fetch: true })).rejects.toThrow(
        /fetching the Debian package: .*\bapt-get\b/,
      );
    } finally {
      process.env.PATH = path;
    }
  });

  test.runIf(existsSync("/usr/bin/apt-get"))(
    "two fetches at once leave one working binary",
    async ({ skip }) => {
      const environment = { PATH: "", XDG_CACHE_HOME: dir };
      const lines: string[] = [];
      const log = (line: string) => void lines.push(line);
      const both = await Promise.all([
        provide(environment, { fetch: true, log }),
        provide(environment, { fetch: true, log }),
      ]).catch((error: Error) => {
        if (error.message.includes("W: Failed to fetch")) skip("the machine's mirror cannot be reached");
        throw error;
      });
      for (const one of both) expect(one).toMatchObject({ path: join(dir, cachedName), origin: "fetched" });
      expect(lines.filter((line) => line.startsWith("downloading nats-server 2."))).toHaveLength(2);
      expect(await provide(environment)).toEqual({ ...both[0], origin: "cache" });
      expect(readdirSync(join(dir, cachedName, ".."))).toHaveLength(1);
    },
  );
});

describe("running it", () => {
  const start = (options: Partial<NatsServerOptions> = {}) =>
    startNatsServer({ binary, storeDir: join(dir, "store"), ...options });

  async function failure(options: Partial<NatsServerOptions>): Promise<Error> {
    const outcome = await start(options).then(
      async (server) => server.stop(),
      (error: Error) => error,
    );
    expect(outcome).toBeInstanceOf(EnvironmentError);
    return outcome as Error;
  }

  async function streamNames(server: NatsServer): Promise<string[]> {
    const connection = await connect({ servers: server.url });
    const names: string[] = [];
    for await (const name of (await jetstreamManager(connection)).streams.names()) names.push(name);
    await connection.close();
    return names;
  }

  test("keeps its streams in the store directory, synced, and stops on request", async () => {
    const lines: string[] = [];
    const server = await start({ log: (line) => void lines.push(line) });
    expect(server.url).toBe(`nats://127.0.0.1:${server.port}`);
    expect(readFileSync(join(dir, "store/nats-server.conf"), "utf8")).toContain("sync_interval: always");
    expect(lines.some((line) => line.includes("Server is ready"))).toBe(true);
    const connection = await connect({ servers: server.url });
    await (await jetstreamManager(connection)).streams.add({ name: "KEPT", subjects: ["kept"] });
    await connection.close();

    await server.stop();
    expect(isAlive(server.pid)).toBe(false);
    const { code, lastLines } = await server.exited;
    expect(code).toBe(0);
    expect(lastLines.at(-1)).toContain("Server Exiting");
    await server.stop();
    server.kill();

    const again = await start({ port: server.port });
    expect(again.port).toBe(server.port);
    expect(await streamNames(again)).toEqual(["KEPT"]);
    await again.stop();
  });

  test("runs in its own process group", async () => {
    const server = await start();
    const group = Number(readFileSync(`/proc/${server.pid}/stat`, "utf8").split(") ")[1]!.split(" ")[2]);
    expect(group).toBe(server.pid);
    await server.stop();
  });

  test("a server that ignores SIGTERM is killed", async () => {
    const server = await start();
    server.kill("SIGSTOP");
    await server.stop(200);
    expect(await server.exited).toMatchObject({ signal: "SIGKILL" });
  });

  test("a store directory that is a file", async () => {
    const file = join(dir, "file");
    writeFileSync(file, "");
    expect((await failure({ storeDir: file })).message).toContain(`${file} cannot be the store directory`);
    expect((await failure({ storeDir: join(file, "below") })).message).toContain(
      "cannot be the store directory",
    );
  });

  test("a store directory that another server uses", async () => {
    const server = await start();
    const error = await failure({ storeTimeoutMs: 200 });
    expect(error.message).toContain(`store is in use by the nats-server with pid ${server.pid}`);
    const stopping = server.stop();
    const next = await start();
    await stopping;
    await next.stop();
  });

  test("a pid file whose number belongs to another process now", async () => {
    mkdirSync(join(dir, "store"));
    writeFileSync(join(dir, "store/nats-server.pid"), String(process.pid));
    await (await start()).stop();
  });

  test("a port that is taken", async () => {
    const port = await findFreePort();
    const other = createServer().listen(port, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    expect((await failure({ port })).message).toContain(`port ${port} of 127.0.0.1 is taken`);
    other.close();
  });

  test("a binary that fails, is missing, never gets ready, or wrong configuration", async () => {
    const failing = script(join(dir, "failing"), "echo out of luck >&2; exit 7");
    const ended = await failure({ binary: failing });
    expect(ended.message).toContain("ended with exit code 7");
    expect(ended.message).toContain("out of luck");
    expect((await failure({ binary: join(dir, "missing") })).message).toContain("ENOENT");
    const silent = script(join(dir, "silent"), "exec sleep 60");
    const late = await failure({ binary: silent, startTimeoutMs: 300 });
    expect(late.message).toContain("was not ready after 300 ms");
    expect(late.message).toContain("it logged nothing");
    expect((await failure({ configuration: "nonsense: 1" })).message).toContain("nonsense");
  });

  test("a test server restarts on its port with its store, and leaves nothing", async () => {
    const server = await startTestServer();
    const { pid, port, storeDir } = server;
    await server.restart();
    expect(server).toMatchObject({ port, storeDir });
    expect(isAlive(pid)).toBe(false);
    await server.kill("SIGTERM");
    await server.restart();
    await server.stop();
    expect(existsSync(storeDir)).toBe(false);
  });
});

/**
 * The guardian is a script of its own, and Node 20 runs none in TypeScript: here it is the built one, if there is one.
 */
const builtServer = fileURLToPath(new URL("../../dist/src/nats/server/server.js", import.meta.url));
const builtGuardian = fileURLToPath(
  new URL("../../dist/src/nats/server/server-guardian.js", import.meta.url),
);
const builtTestSupport = fileURLToPath(new URL("../../dist/test/support/servers/nats.js", import.meta.url));

describe.runIf(existsSync(builtGuardian))("guarded", () => {
  /** A process that starts a guarded server and prints its pid, and then a line with how the server ended. */
  async function startParent(): Promise<{
    parent: ChildProcess;
    pid: number;
    guardian: number;
    nextLine(): Promise<string>;
  }> {
    const program = `
      import { startNatsServer } from ${JSON.stringify(builtServer)};
      const options = ${JSON.stringify({ binary, storeDir: join(dir, "store"), guarded: true })};
      const server = await startNatsServer(options);
      console.log(server.pid);
      process.stdin.once("data", () => server.stop());
      const { code, signal } = await server.exited;
      console.log(code ?? signal);
      process.exit();
    `;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
    const nextLine = async () => (await lines.next()).value as string;
    const pid = Number(await nextLine());
    const guardian = Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")[1]);
    return { parent, pid, guardian, nextLine };
  }

  const gone = (pid: number) => expect.poll(() => isAlive(pid)).toBe(false);

  test("the server ends when its parent is killed, and the next one can have the store", async () => {
    const { parent, pid, guardian } = await startParent();
    expect([isAlive(pid), isAlive(guardian)]).toEqual([true, true]);
    parent.kill("SIGKILL");
    const next = await startParent();
    expect(isAlive(pid)).toBe(false);
    next.parent.kill("SIGKILL");
    await gone(guardian);
    await gone(next.pid);
    await gone(next.guardian);
  });

  test("a parent that is gone before its guardian has started leaves nothing", async () => {
    const port = await findFreePort();
    const guardian = spawn(process.execPath, [builtGuardian, binary, "-a", "127.0.0.1", "-p", String(port)], {
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    guardian.disconnect();
    const ended = new Promise((resolve) => guardian.once("exit", resolve));
    try {
      expect(await ended).toBe(0);
    } finally {
      guardian.kill();
    }
  });

  test("it stops on request, and its guardian with it", async () => {
    const { parent, pid, guardian, nextLine } = await startParent();
    parent.stdin?.write("stop\n");
    expect(await nextLine()).toBe("0");
    await gone(pid);
    await gone(guardian);
  });

  test("its death is reported", async () => {
    const { pid, guardian, nextLine } = await startParent();
    process.kill(pid, "SIGKILL");
    expect(await nextLine()).toBe("SIGKILL");
    await gone(guardian);
  });

  test("it does not outlive its guardian either", async () => {
    const { pid, guardian, nextLine } = await startParent();
    process.kill(guardian, "SIGKILL");
    expect(await nextLine()).toBe("SIGKILL");
    await gone(pid);
  });

  test("a missing binary is an error", async () => {
    const { startNatsServer: startBuilt } = (await import(builtServer)) as {
      startNatsServer: typeof startNatsServer;
    };
    const options = { binary: join(dir, "missing"), storeDir: join(dir, "store"), guarded: true };
    await expect(startBuilt(options)).rejects.toThrow(/could not be started from .*missing: .*ENOENT/);
  });

  test("a test server dies with its test process", async () => {
    const program = `
      import { startTestServer } from ${JSON.stringify(builtTestSupport)};
      console.log((await startTestServer()).pid);
    `;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const pid = Number(
      (await createInterface({ input: parent.stdout })[Symbol.asyncIterator]().next()).value,
    );
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    await gone(pid);
  });
});
