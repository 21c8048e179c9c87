/**
 * compose.yaml without containers: the same commands, environment, health checks and stop signals, as processes of this
 * machine. Adapted: ports, paths inside the image, the name "nats".
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { mainFile, until, type Workspace } from "../cli/workspace.ts";
import { freePort } from "../support/servers/nats.ts";
import { WAIT_BOUND_MS } from "../support/suite/patience.ts";

export const dockerDirectory = fileURLToPath(new URL("../../docker/", import.meta.url));

export interface Service {
  readonly image: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly restart: string;
  readonly stop_signal?: NodeJS.Signals;
  readonly stop_grace_period: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[]; readonly timeout: string };
}

export interface Composition {
  readonly services: Readonly<Record<string, Service>>;
}

export function readComposition(): Composition {
  return parse(readFileSync(join(dockerDirectory, "compose.yaml"), "utf8"), { merge: true }) as Composition;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** One container's process. */
export class Container {
  readonly service: Service;
  readonly process: ChildProcess;
  readonly exited: Promise<Exit>;
  readonly #adapt: (text: string) => string;
  readonly #directory: string;
  output = "";

  constructor(
    service: Service,
    adapt: (text: string) => string,
    directory: string,
    start: { readonly program: string; readonly args: readonly string[] },
  ) {
    this.service = service;
    this.#adapt = adapt;
    this.#directory = directory;
    const environment = Object.entries(service.environment ?? {}).map(([name, value]) => [
      name,
      adapt(value),
    ]);
    this.process = spawn(start.program, [...start.args, ...service.command.map(adapt)], {
      cwd: directory,
      env: { PATH: process.env.PATH, NODE_ENV: "production", ...Object.fromEntries(environment) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!])
      stream.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    this.exited = new Promise((resolve) => {
      this.process.once("close", (code, signal) => resolve({ code, signal, output: this.output }));
    });
  }

  /** What the health check's own command says. */
  healthy(): boolean {
    const [kind, program = "", ...args] = this.service.healthcheck!.test;
    if (kind !== "CMD") throw new Error(`a health check of kind ${kind}`);
    return (
      spawnSync(program, args.map(this.#adapt), { cwd: this.#directory, timeout: WAIT_BOUND_MS }).status === 0
    );
  }

  /** Stops the services as `docker stop` does, with endless patience. */
  stop(): Promise<Exit> {
    this.process.kill(this.service.stop_signal ?? "SIGTERM");
    return this.exited;
  }
}

export function milliseconds(text: string): number {
  const [, number, unit] = /^(\d+)(s|m)$/.exec(text)!;
  return Number(number) * (unit === "s" ? 1_000 : 60_000);
}

/** The services, started as compose would: each after those that it depends on are healthy. */
export class Machine {
  readonly containers = new Map<string, Container>();
  readonly natsPort: number;
  readonly #monitorPort: number;
  readonly #workspace: Workspace;
  readonly #natsServer: string;
  readonly #services: Composition["services"];

  static async create(workspace: Workspace, natsServer: string, composition: Composition): Promise<Machine> {
    return new Machine(workspace, natsServer, composition, await freePort(), await freePort());
  }

  private constructor(
    workspace: Workspace,
    natsServer: string,
    composition: Composition,
    natsPort: number,
    monitorPort: number,
  ) {
    this.#workspace = workspace;
    this.#natsServer = natsServer;
    this.#services = composition.services;
    this.natsPort = natsPort;
    this.#monitorPort = monitorPort;
  }

  async start(name: string): Promise<Container> {
    const service = this.#services[name]!;
    for (const [needed, { condition }] of Object.entries(service.depends_on ?? {})) {
      if (condition !== "service_healthy") throw new Error(`${name} waits for ${needed} to be ${condition}`);
      await this.#healthy(needed);
    }
    const healthPort = await freePort();
    const mounts = this.#mount(service);
    const adapt = (text: string): string => {
      let adapted = text
        .replace("nats://nats:4222", `nats://127.0.0.1:${this.natsPort}`)
        .replaceAll("8222", String(this.#monitorPort))
        .replaceAll("8080", String(healthPort));
      for (const [inside, outside] of mounts) adapted = adapted.replace(inside, outside);
      return adapted;
    };
    const start = service.image.startsWith("nats:")
      ? { program: this.#natsServer, args: [] }
      : { program: process.execPath, args: [mainFile] };
    const container = new Container(service, adapt, this.#workspace.dir, start);
    this.containers.set(name, container);
    return container;
  }

  async #healthy(name: string): Promise<void> {
    const container = this.containers.get(name)!;
    await until(
      () => container.healthy() || container.process.exitCode !== null,
      () => `${name} to be healthy; it said:\n${container.output}`,
    );
    if (container.process.exitCode !== null) throw new Error(`${name} ended:\n${container.output}`);
  }

  /** Files of this directory are copied beside "tidemark", as /jobs in the image is; named volumes are not needed. */
  #mount(service: Service): [inside: string, outside: string][] {
    return (service.volumes ?? []).flatMap((volume) => {
      const [from = "", inside = ""] = volume.split(":");
      if (!from.startsWith("./")) return [];
      const outside = this.#workspace.path(basename(from));
      if (!from.endsWith(".conf")) copyFileSync(join(dockerDirectory, from), outside);
      else {
        const text = readFileSync(join(dockerDirectory, from), "utf8");
        const adapted = text
          .replace("port: 4222", `port: ${this.natsPort}`)
          .replace("http_port: 8222", `http_port: ${this.#monitorPort}`)
          .replace('"/data"', JSON.stringify(this.#workspace.path("data")));
        writeFileSync(outside, adapted);
      }
      return [[inside, outside]];
    });
  }
}
