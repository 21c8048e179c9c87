/**
 * A process of its own between us and a guarded nats-server: it notices that we are gone, also by SIGKILL, because
 * the IPC channel to us breaks, and takes the server down with it.
 *
 *   node server-guardian.js <nats-server> <arguments...>
 *
 * It lives exactly as long as the server. Only built-in modules: nothing of ours may keep it from starting.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** What the guardian tells its parent, in this order: spawned or failed, logged any number of times, exited. */
export type GuardianReport =
  | { readonly type: "spawned"; readonly pid: number }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "logged"; readonly line: string }
  | { readonly type: "exited"; readonly code: number | null; readonly signal: NodeJS.Signals | null };

const stopTimeoutMs = 10_000;

// The parent may have been killed while this process started, without a message to it.
if (!process.connected) process.exit(0);

const [binary = "nats-server", ...args] = process.argv.slice(2);
const server = spawn(binary, args, { stdio: ["ignore", "ignore", "pipe"] });
createInterface({ input: server.stderr }).on("line", (line) => report({ type: "logged", line }));

server.once("spawn", () => report({ type: "spawned", pid: server.pid! }));
server.once("error", (error) => report({ type: "failed", message: error.message }, () => process.exit(1)));
server.once("close", (code, signal) => report({ type: "exited", code, signal }, () => process.exit(0)));

process.once("disconnect", stop);
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, stop);

function report(message: GuardianReport, sent: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, undefined, sent);
  else sent();
}

function stop(): void {
  server.kill("SIGTERM");
  setTimeout(() => server.kill("SIGKILL"), stopTimeoutMs);
}
