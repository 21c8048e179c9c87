/** A directory of a user's own: job files in it, the `tidemark` command run in it as a real process. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUNDLE, bundled } from "../support/servers/compiled.ts";
import { SpareClock, WAIT_BOUND_MS } from "../support/suite/patience.ts";
import { until as waitUntil } from "../support/until.ts";
import { RELEASE_FILE } from "./jobs.ts";

const LOOK_EVERY_MS = 1000;
export const mainFile = bundled("src/cli/main.ts");

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  /**
   * true: the command is started as a shell starts it: a signal to `-pid` reaches it and whatever it left in its group.
   */
  readonly ownGroup?: boolean;
  /** Descriptors in the place of the pipes that the test reads. */
  readonly stdout?: number;
  readonly stderr?: number;
  /** The main file of another copy of the package. Default: that of the bundle. */
  readonly main?: string;
}

/** One `tidemark ...` that runs. It is killed when a test has waited for it long enough. */
export class Command {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = "";
  stderr = "";
  #over = false;

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    const clock = new SpareClock();
    const timer = setInterval(() => {
      if (clock.look() > WAIT_BOUND_MS) child.kill("SIGKILL");
    }, LOOK_EVERY_MS);
    this.ended = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        clearInterval(timer);
        this.#over = true;
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Until standard output (or error) holds this. */
  async says(text: string | RegExp): Promise<string> {
    const found = () => [this.stdout, this.stderr].find((said) => new RegExp(text).test(said));
    await waitUntil(`it says "${text}"`, () => found() !== undefined || this.#over, {
      describe: () => `it said:\n${this.#said}`,
    });
    const said = found();
    if (said === undefined) throw new Error(`ended without saying "${text}"; it said:\n${this.#said}`);
    return said;
  }

  get #said(): string {
    return `${this.stdout}\n--- stderr ---\n${this.stderr}`;
  }
}

export async function until(met: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  await waitUntil("it comes to that", met, { describe: what });
}

export class Workspace {
  readonly dir: string;
  readonly #commands: Command[] = [];

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** A workspace with `tidemark` installed beside the jobs, as `npm install` would. */
  static async create(): Promise<Workspace> {
    const workspace = new Workspace(realpathSync(await mkdtemp(join(tmpdir(), "tidemark-cli-"))));
    mkdirSync(workspace.path("node_modules"));
    symlinkSync(BUNDLE, workspace.path("node_modules/tidemark"));
    return workspace;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  write(name: string, text: string): string {
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  /**
   * What a user types into a shell that has the `nats` tool (`support/servers/nats-tool.ts`). It has to succeed.
   * `server`: as `NATS_URL`.
   */
  shell(line: string, server = ""): string {
    const bin = this.path("bin");
    mkdirSync(bin, { recursive: true });
    const tool = bundled("test/support/servers/nats-tool.ts");
    writeFileSync(join(bin, "nats"), `#!/bin/sh\nexec "${process.execPath}" "${tool}" "$@"\n`, {
      mode: 0o755,
    });
    const env = { ...environment(), PATH: `${bin}:${process.env.PATH}`, NATS_URL: server };
    return execFileSync("/bin/sh", ["-ec", line], { cwd: this.dir, env, encoding: "utf8" });
  }

  /** What a message says that the user should type: `tidemark ...`. It has to succeed; returns what it prints. */
  tidemark(line: string): string {
    const bin = this.path("bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "tidemark"), `#!/bin/sh\nexec "${process.execPath}" "${mainFile}" "$@"\n`, {
      mode: 0o755,
    });
    const env = { ...environment(), PATH: `${bin}:${process.env.PATH}` };
    return execFileSync("/bin/sh", ["-ec", line], { cwd: this.dir, env, encoding: "utf8" });
  }

  /** Jobs that are held (`jobs.ts`) go on to their end, as fast as they can. */
  release(): void {
    this.write(RELEASE_FILE, "");
  }

  read(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  start(args: readonly string[], options: CommandOptions = {}): Command {
    const child = spawn(process.execPath, [options.main ?? mainFile, ...args], {
      cwd: this.dir,
      env: { ...environment(), ...options.env },
      stdio: ["ignore", options.stdout ?? "pipe", options.stderr ?? "pipe"],
      detached: options.ownGroup === true,
    });
    const command = new Command(child);
    this.#commands.push(command);
    return command;
  }

  /** Until it has ended. */
  run(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
    return this.start(args, options).ended;
  }

  /** Names of the committed files of a file sink. */
  files(directory = "out"): string[] {
    const entries = readdirSync(this.path(directory), { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  }

  /** Records of all its committed files, or of some. */
  lines(directory = "out", files = this.files(directory)): string[] {
    const lines = files.flatMap((name) => this.read(join(directory, name)).trimEnd().split("\n"));
    return lines.map((line) => JSON.parse(line) as string);
  }

  /** Processes that were started for this directory: their command line or working directory names it. */
  processes(): Process[] {
    return allProcesses().filter(
      ({ pid, commandLine, cwd }) =>
        pid !== process.pid && (commandLine.includes(this.dir) || cwd === this.dir),
    );
  }

  async remove(): Promise<void> {
    for (const command of this.#commands) command.kill("SIGKILL");
    await Promise.all(this.#commands.map((command) => command.ended));
    for (const { pid } of this.processes()) kill(pid);
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

export interface Process {
  readonly pid: number;
  readonly commandLine: string;
  readonly cwd: string;
}

function allProcesses(): Process[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((name) => {
    try {
      const commandLine = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
      if (commandLine === "") return [];
      return [{ pid: Number(name), commandLine, cwd: realpathSync(`/proc/${name}/cwd`) }];
    } catch {
      return [];
    }
  });
}

export function kill(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}

/** Ours, without what would change what a command does. */
function environment(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("TIDEMARK_") || name === "TIDEMARK_NATS_SERVER",
  );
  return { ...Object.fromEntries(kept), NODE_OPTIONS: "" };
}
