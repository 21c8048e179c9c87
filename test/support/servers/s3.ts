/**
 * A throw-away S3 server on a free port of 127.0.0.1: versitygw, a gateway in front of a directory, which knows
 * conditional writes and uploads of parts as S3 does. It is a Go program, and not part of this project: where it is not
 * installed its tests are skipped, and say how to get it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { until } from "../until.ts";
import { freePort } from "./nats.ts";

export const S3_MISSING =
  "needs an S3 server: GOBIN=~/.cache/tidemark go install github.com/versity/versitygw/cmd/versitygw@v1.8.0";

/** undefined: it is not installed. */
export const s3Binary: string | undefined = [
  join(homedir(), ".cache/tidemark"),
  join(homedir(), "go/bin"),
  ...(process.env.PATH ?? "").split(delimiter),
]
  .map((directory) => join(directory, "versitygw"))
  .find((file) => existsSync(file));

export interface S3Server {
  readonly endpoint: string;
  /** What a client needs to be let in, and where the server is. */
  readonly environment: Readonly<Record<string, string>>;
  /** A new bucket. */
  makeBucket(name: string): Promise<void>;
  /** Changes the last byte of an object, behind the server's back. */
  corrupt(bucket: string, key: string): Promise<void>;
  /** SIGSTOP and SIGCONT only suspend and resume it. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  restart(): Promise<void>;
  /** Ends it and removes all objects. */
  stop(): Promise<void>;
}

const KEYS = { ROOT_ACCESS_KEY: "tidemark-test", ROOT_SECRET_KEY: "tidemark-test-secret" };

export async function startS3Server(): Promise<S3Server> {
  if (s3Binary === undefined) throw new Error(S3_MISSING);
  const directory = await mkdtemp(join(tmpdir(), "tidemark-s3-"));
  const buckets = join(directory, "buckets");
  await mkdir(buckets);
  const port = await freePort();
  let child: ChildProcess;
  let exited: Promise<unknown>;
  const start = async () => {
    // Not where this project lies: it writes lock files into its working directory.
    child = spawn(s3Binary, ["--port", `127.0.0.1:${port}`, "--quiet", "posix", buckets], {
      cwd: directory,
      env: { ...process.env, ...KEYS },
      stdio: "ignore",
    });
    exited = new Promise((resolve) => child.once("exit", resolve));
    const endWithUs = () => child.kill("SIGKILL");
    process.once("exit", endWithUs);
    void exited.then(() => process.off("exit", endWithUs));
    await until("the S3 server answers", () =>
      fetch(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => false,
      ),
    );
  };
  await start();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    environment: {
      AWS_ACCESS_KEY_ID: KEYS.ROOT_ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: KEYS.ROOT_SECRET_KEY,
      AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
    },
    makeBucket: async (name) => void (await mkdir(join(buckets, name))),
    async corrupt(bucket, key) {
      const file = join(buckets, bucket, key);
      const content = await readFile(file);
      content[content.length - 1]! ^= 1;
      await writeFile(file, content);
    },
    async kill(signal = "SIGKILL") {
      child.kill(signal);
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await exited;
    },
    restart: start,
    async stop() {
      child.kill("SIGKILL");
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
