/**
 * `tidemark run --server` with every way a server may ask for our identity; secrets stay out of process list and
 * output.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { userOfAnAccount } from "../servers/credentials.ts";
import { type Process, Workspace } from "../workspace.ts";

const directory = mkdtempSync(join(tmpdir(), "tidemark-tls-"));
const file = (name: string) => join(directory, name);
const nkey = nkeys.createUser();
const accountUser = userOfAnAccount();

beforeAll(() => {
  // A certificate that is its own authority.
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tidemark test"],
      ...["-addext", "subjectAltName=DNS:localhost", "-keyout", file("key.pem"), "-out", file("cert.pem")],
    ],
    { stdio: "ignore" },
  );
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Way {
  readonly title: string;
  readonly configuration: () => string;
  readonly args: (workspace: Workspace) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const ways: readonly Way[] = [
  {
    title: "user and password",
    configuration: () => 'authorization { user: "tide", password: "hidden-word" }',
    args: () => ["--user", "tide", "--password", "hidden-word"],
  },
  {
    title: "user and password in the environment",
    configuration: () => 'authorization { user: "tide", password: "hidden-word" }',
    args: () => [],
    env: { TIDEMARK_USER: "tide", TIDEMARK_PASSWORD: "hidden-word" },
  },
  {
    title: "token",
    configuration: () => 'authorization { token: "hidden-word" }',
    args: () => ["--token", "hidden-word"],
  },
  {
    title: "nkey",
    configuration: () => `authorization { users: [{ nkey: "${nkey.getPublicKey()}" }] }`,
    args: (workspace) => [
      "--nkey",
      workspace.write("user.nk", `${new TextDecoder().decode(nkey.getSeed())}\n`),
    ],
  },
  {
    title: "credentials file",
    configuration: () => accountUser.configuration,
    args: (workspace) => ["--creds", workspace.write("user.creds", accountUser.credentials)],
  },
  {
    title: "TLS, with a certificate of our own",
    configuration: () =>
      `tls { cert_file: "${file("cert.pem")}", key_file: "${file("key.pem")}", ca_file: "${file("cert.pem")}", verify: true }`,
    args: () => ["--tls-ca", file("cert.pem"), "--tls-cert", file("cert.pem"), "--tls-key", file("key.pem")],
  },
];

async function withServer(configuration: string, work: (server: TestServer) => Promise<void>): Promise<void> {
  const server = await startTestServer({ configuration });
  try {
    await work(server);
  } finally {
    await server.stop();
  }
}

test.each(ways)("$title", ({ configuration, args, env }) =>
  withServer(configuration(), async (server) => {
    const workspace = await Workspace.create();
    try {
      workspace.write("job.mjs", countingJob({ count: 4_000, ratePerSecond: 4_000, held: true }));
      const running = workspace.start(
        ["run", "job.mjs", "--server", server.url.replace("127.0.0.1", "localhost"), ...args(workspace)],
        env && { env },
      );
      await running.says("checkpoints every");
      const children: Process[] = workspace.processes().filter(({ pid }) => pid !== running.pid);
      expect(children.length).toBeGreaterThan(0);
      for (const { commandLine } of children) expect(commandLine).not.toContain("hidden-word");
      workspace.release();
      const ended = await running.ended;
      expect(ended).toMatchObject({ code: 0, stderr: "" });
      expect(ended.stdout).not.toContain("hidden-word");
      expect(wrongCounts(workspace.lines(), 4_000)).toEqual([]);
    } finally {
      await workspace.remove();
    }
  }),
);

test("a server whose certificate no authority vouches for", () =>
  withServer(`tls { cert_file: "${file("cert.pem")}", key_file: "${file("key.pem")}" }`, async (server) => {
    const workspace = await Workspace.create();
    try {
      const ended = await workspace.run([
        "status",
        "--server",
        server.url,
        "--tls",
        "--connect-timeout",
        "2",
      ]);
      expect(ended).toMatchObject({ code: 3, stdout: "" });
      expect(ended.stderr).toMatch(/cannot be trusted.*--tls-ca/);
    } finally {
      await workspace.remove();
    }
  }));
