/** A new user, who has nothing of ours but the packed package: their shell, their installs. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { WAIT_BOUND_MS } from "../support/suite/patience.ts";
import { until } from "../support/until.ts";

const modules = fileURLToPath(new URL("../../node_modules", import.meta.url));

/** The environment of a user who has none of our settings. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^npm_|^NODE_|^VITEST|^TIDEMARK_(?!NATS_SERVER)/.test(name),
  ),
);

export function run(cwd: string, command: string, ...args: readonly string[]) {
  const env = {
    ...environment,
    npm_config_prefer_offline: "true",
    npm_config_fetch_retries: "1",
    npm_config_fetch_retry_mintimeout: "1000",
  };
  const { status, stdout, stderr } = spawnSync(command, args, {
    ...{ cwd, env, encoding: "utf8", timeout: WAIT_BOUND_MS },
  });
  return { status, stdout, stderr };
}

/**
 * `npm install TARBALL MORE`. Where no registry can be reached, with what this project has installed in the place of
 * what would be fetched.
 */
export function install(project: string, tarball: string, ...more: readonly string[]): void {
  const { status, stderr } = run(project, "npm", "install", tarball, ...more);
  if (status === 0) return;
  if (!/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENOTCACHED|ENETUNREACH/.test(stderr))
    throw new Error(stderr);
  const target = join(project, "node_modules");
  mkdirSync(join(target, "tidemark"), { recursive: true });
  execFileSync("tar", ["-xzf", tarball, "-C", join(target, "tidemark"), "--strip-components=1"]);
  for (const name of readdirSync(modules))
    if (name !== ".bin") symlinkSync(join(modules, name), join(target, name));
  mkdirSync(join(target, ".bin"));
  const { bin } = JSON.parse(readFileSync(join(target, "tidemark/package.json"), "utf8")) as {
    readonly bin: { readonly tidemark: string };
  };
  execFileSync("chmod", ["+x", join(target, "tidemark", bin.tidemark)]);
  symlinkSync(join("../tidemark", bin.tidemark), join(target, ".bin/tidemark"));
}

/** A command that goes on in a terminal of its own. */
export class Terminal {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = "";
  #over = false;

  constructor(cwd: string, line: string) {
    this.#child = spawn("/bin/sh", ["-ec", line], { cwd, env: environment, detached: true });
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    this.ended = new Promise((resolve) => {
      this.#child.once("close", (code) => {
        this.#over = true;
        resolve(code);
      });
    });
  }

  async shows(text: string | RegExp): Promise<void> {
    await until(`the terminal shows ${text}`, () => new RegExp(text).test(this.output) || this.#over, {
      describe: () => this.output,
    });
    if (!new RegExp(text).test(this.output)) throw new Error(`ended without ${text}: ${this.output}`);
  }

  /** Ctrl-C, or worse. */
  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.#child.pid!, signal);
    } catch {
      // It is gone already.
    }
  }
}
