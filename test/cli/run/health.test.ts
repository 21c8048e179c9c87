/** The port of health checks: other machines reach it only where the user says so. */
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { serveHealth } from "../../../src/cli/process/health.ts";
import { Workspace } from "../workspace.ts";

test("health checks are answered at the address that is named, and at no other one", async () => {
  const server = await serveHealth(0, "127.0.0.1", () => ({ healthy: true }));
  const { port } = server.address() as AddressInfo;
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  await expect(fetch(`http://127.0.0.2:${port}/healthz`)).rejects.toThrow();
  await new Promise((closed) => server.close(closed));
});

test("loopback is the address unless the user names another one", async () => {
  const workspace = await Workspace.create();
  for (const command of ["coordinator", "worker"])
    expect(workspace.tidemark(`tidemark ${command} --help`)).toMatch(
      /--health-host <address>.*\(default: "127\.0\.0\.1"/s,
    );
  await workspace.remove();
});
