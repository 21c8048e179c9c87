/** Connecting to real servers, and every way in which that can be refused. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, nkeys } from "@nats-io/transport-node";
import { afterAll, afterEach, expect, test } from "vitest";
import { ConfigurationError, describeError, EnvironmentError } from "../../src/errors.ts";
import {
  connectNats,
  type NatsConnectOptions,
  requireServerVersion,
} from "../../src/nats/connection/connect.ts";
import { answers, freePort, startTestServer, type TestServer } from "../support/servers/nats.ts";
import { WAIT_BOUND_MS } from "../support/suite/patience.ts";
import { until } from "../support/until.ts";

const dir = mkdtempSync(join(tmpdir(), "tidemark-connect-"));
afterAll(() => rmSync(dir, { recursive: true }));

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function server(configuration = ""): Promise<TestServer> {
  const started = await startTestServer({ configuration });
  cleanups.push(() => started.stop());
  return started;
}

async function connected(options: Omit<NatsConnectOptions, "name">) {
  const environment = await connectNats({ name: "test", connectTimeoutMs: WAIT_BOUND_MS, ...options });
  cleanups.push(() => environment.connection.close());
  return environment;
}

async function refusal(options: Omit<NatsConnectOptions, "name">): Promise<Error> {
  return await connected(options).then(
    () => expect.fail("it connected"),
    (error: Error) => error,
  );
}

function file(name: string, content: string): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

function userSeed(): { seed: string; publicKey: string } {
  const pair = nkeys.createUser();
  return { seed: new TextDecoder().decode(pair.getSeed()), publicKey: pair.getPublicKey() };
}

/** Logger that keeps "level message" lines. */
function keepingLogger() {
  const lines: string[] = [];
  const keep = (level: string) => (_fields: object, message: string) =>
    void lines.push(`${level} ${message}`);
  return { lines, debug: keep("debug"), info: keep("info"), warn: keep("warn"), error: keep("error") };
}

test("connects with and without the diverting transport, under its name", async () => {
  const { url, port } = await server();
  const diverting = await connected({ servers: url });
  expect(diverting.diverter).toBeDefined();
  expect(diverting.serverVersion).toMatch(/^2\.\d+\.\d+$/);
  await diverting.connection.flush();

  const plain = await connected({ servers: `127.0.0.1:${port}`, divert: false });
  expect(plain.diverter).toBeUndefined();
  await plain.connection.flush();
});

test("one living server of several is enough", async () => {
  const { url } = await server();
  const dead = `nats://127.0.0.1:${await freePort()}`;
  await connected({ servers: [dead, url] });
  await connected({ servers: `${dead},${url}` });
});

test("an unreachable server is named after the timeout, with the reason", async () => {
  const port = await freePort();
  const error = await refusal({ servers: `nats://127.0.0.1:${port}`, connectTimeoutMs: 700 });
  expect(error).toBeInstanceOf(EnvironmentError);
  expect(error.message).toContain(
    `NATS at 127.0.0.1:${port} could not be reached within 700 ms: connection refused`,
  );
});

test("a listener that never speaks does not stretch the timeout", async () => {
  const silent = await server();
  await silent.kill("SIGSTOP");
  let isLibraryThrough = false;
  const library = connect({ servers: silent.url, timeout: 20_000, maxReconnectAttempts: 0 }).then(
    (connection) => connection.close(),
    () => {
      isLibraryThrough = true;
    },
  );
  cleanups.push(() => silent.kill("SIGCONT").then(() => library));
  const error = await refusal({ servers: silent.url, connectTimeoutMs: 500 });
  expect(isLibraryThrough).toBe(false);
  expect(error.message).toContain("could not be reached within 500 ms");
});

test("a server that comes up late is waited for", async () => {
  const late = await server();
  await late.kill();
  const logger = keepingLogger();
  const connecting = connected({ servers: late.url, connectTimeoutMs: 200_000, logger });
  await until("it says that it waits", () => logger.lines.length > 0);
  await late.restart();
  await (await connecting).connection.flush();
  expect(logger.lines).toEqual([
    `warn NATS at 127.0.0.1:${late.port} cannot be reached yet; trying for 200 s`,
  ]);
});

test("a lost connection comes back by itself and both are logged", async () => {
  const restarted = await server();
  const logger = keepingLogger();
  const { connection } = await connected({ servers: restarted.url, logger });
  await restarted.restart();
  await expect
    .poll(() => logger.lines)
    .toEqual(["warn connection to NATS lost; reconnecting", "info connected to NATS again"]);
  await connection.flush();
});

test.each([
  ["", "no NATS server is named"],
  ["http://example.com", '"http://example.com" is no address'],
  ["nats://user:secret@:4222", '"nats://***@:4222" is no address'],
  ["nats://host:port", '"nats://host:port" is no address'],
])("the address %j is refused", async (servers, message) => {
  const error = await refusal({ servers });
  expect(error).toBeInstanceOf(ConfigurationError);
  expect(error).toMatchObject({ key: "servers", message: expect.stringContaining(message) });
});

test("user and password", async () => {
  const { url, port } = await server('authorization { user: "ann", password: "right" }');
  await connected({ servers: url, user: "ann", password: "right" });
  await connected({ servers: `nats://ann:right@127.0.0.1:${port}` });

  const wrong = await refusal({ servers: url, user: "ann", password: "wrong" });
  expect(wrong).toBeInstanceOf(EnvironmentError);
  expect(wrong.message).toContain(`NATS at 127.0.0.1:${port} refused user "ann"`);
  expect(wrong.message).not.toContain("wrong");
  expect((await refusal({ servers: url, divert: false })).message).toContain(
    "asks for credentials, and none are given",
  );
});

test.each([true, false])("a server that has all its connections says so (diverting: %s)", async (divert) => {
  const { url, port } = await server("max_connections: 1");
  await connected({ servers: url });
  // A busy machine may need longer than the first of these for a single answer of the server.
  for (const connectTimeoutMs of [1_000, 5_000, 25_000]) {
    const logger = keepingLogger();
    const error = await refusal({ servers: url, divert, connectTimeoutMs, logger });
    expect(error).toBeInstanceOf(EnvironmentError);
    if (error.message.includes("timeout")) continue;
    expect(describeError(error)).toBe(
      `NATS at 127.0.0.1:${port} has taken no connection for ${connectTimeoutMs} ms: nats-server refuses or ends the ` +
        'connection ("maximum connections exceeded"); raise max_connections in its configuration, or end connections ' +
        "that are not needed",
    );
    expect(logger.lines).toContainEqual(
      expect.stringMatching(
        /^warn NATS at \S+ takes no connection yet: nats-server refuses.*trying for \d+ s/,
      ),
    );
    return;
  }
  expect.unreachable("the server has answered nothing within 25 s");
});

test("a server without headers is refused in words", async () => {
  const { url } = await server("no_header_support: true");
  const error = await refusal({ servers: url });
  expect(error).toBeInstanceOf(EnvironmentError);
  expect(error.message).toMatch(/takes no message with headers.*take no_header_support out/);
});

test("token", async () => {
  const { url, port } = await server('authorization { token: "right" }');
  await connected({ servers: url, token: "right" });
  await connected({ servers: `nats://right@127.0.0.1:${port}` });
  expect((await refusal({ servers: url, token: "wrong" })).message).toContain("refused the token");
});

test("nkey seed file, also when it is rotated while connected", async () => {
  const first = userSeed();
  const second = userSeed();
  const rotating = await server(
    `authorization { users: [{ nkey: ${first.publicKey} }, { nkey: ${second.publicKey} }] }`,
  );
  const nkeyFile = file("user.nk", `# a comment\n${first.seed}\n`);
  const { connection } = await connected({ servers: rotating.url, nkeyFile });

  writeFileSync(nkeyFile, "being written");
  await rotating.restart();
  await expect.poll(() => answers(connection)).toBe(true);
  writeFileSync(nkeyFile, second.seed);
  await connected({ servers: rotating.url, nkeyFile });

  const stranger = file("stranger.nk", userSeed().seed);
  const error = await refusal({ servers: rotating.url, nkeyFile: stranger });
  expect(error.message).toContain(`refused the nkey seed file ${stranger}`);
});

test.each([
  { options: { credentialsFile: "/nowhere/x.creds" }, key: "credentialsFile", message: "ENOENT" },
  { options: { credentialsFile: "GARBAGE" }, key: "credentialsFile", message: "unable to parse credentials" },
  { options: { nkeyFile: "/nowhere/x.nk" }, key: "nkeyFile", message: "ENOENT" },
  { options: { nkeyFile: "GARBAGE" }, key: "nkeyFile", message: "holds no seed of a user" },
  { options: { tls: { caFile: "/nowhere/ca.pem" } }, key: "tls.caFile", message: "ENOENT" },
  { options: { tls: { certFile: "GARBAGE" } }, key: "tls.keyFile", message: "keyFile is missing" },
  { options: { user: "ann", token: "t" }, key: "token", message: "user and token are both given" },
  { options: { password: "p" }, key: "user", message: "password is given without a user" },
])("$options is refused before anything is sent", async ({ options, key, message }) => {
  const garbage = file("garbage", "garbage");
  const filled = JSON.parse(JSON.stringify(options).replaceAll("GARBAGE", garbage));
  const error = await refusal({ servers: "nats://127.0.0.1:1", ...filled });
  expect(error).toBeInstanceOf(ConfigurationError);
  expect(error).toMatchObject({ key, message: expect.stringContaining(message) });
});

test("TLS: trusted, unknown authority, client certificate, required but not offered", async () => {
  const certFile = join(dir, "cert.pem");
  const keyFile = join(dir, "key.pem");
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  const request = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
  ];
  execFileSync("openssl", [...request, "-keyout", keyFile, "-out", certFile, ...subject], {
    stdio: "ignore",
  });
  const tls = `cert_file: "${certFile}", key_file: "${keyFile}"`;

  const { url, port } = await server(`tls { ${tls} }`);
  const { connection } = await connected({ servers: url, tls: { caFile: certFile } });
  await connection.flush();
  const untrusted = await refusal({ servers: url });
  expect(untrusted).toBeInstanceOf(EnvironmentError);
  expect(untrusted.message).toContain(`NATS at 127.0.0.1:${port} cannot be trusted`);

  const verifying = await server(`tls { ${tls}, ca_file: "${certFile}", verify: true }`);
  await connected({ servers: verifying.url, tls: { caFile: certFile, certFile, keyFile } });
  const nameless = await refusal({
    servers: verifying.url,
    tls: { caFile: certFile },
    connectTimeoutMs: 2_000,
  });
  expect(nameless).toBeInstanceOf(EnvironmentError);
  expect(nameless.message).toContain("give tls.certFile and tls.keyFile");

  const plain = await server();
  const error = await refusal({ servers: `tls://127.0.0.1:${plain.port}` });
  expect(error.message).toContain("offers no TLS, and TLS is required");
});

test("a feature is refused on a server that is too old for it", async () => {
  const environment = await connected({ servers: (await server()).url });
  requireServerVersion(environment, "2.12.0", "the exactly-once sink");
  expect(() => requireServerVersion(environment, "99.0.0", "time travel")).toThrow(
    /^nats-server 2\.\d+\.\d+ at 127\.0\.0\.1:\d+ is too old for time travel: it needs 99\.0\.0 or newer$/,
  );
});
