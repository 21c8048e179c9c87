/** `tidemark doctor` tries whether the storage of checkpoints can be used, and says what it does not allow. */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { DenyingProxy } from "../../s3/denying-proxy.ts";
import { S3_MISSING, s3Binary, startS3Server } from "../../support/servers/s3.ts";
import { countingJob } from "../jobs.ts";
import { hasCompleted, SharedServer } from "../servers/shared-server.ts";

const shared = new SharedServer("doctor-storage");

interface Said {
  readonly findings: readonly { readonly finding: string; readonly says: string; readonly help: string }[];
}

/** What the doctor says of the storage, of a job that runs and lacks nothing. */
async function storageFindings(
  storage: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Said["findings"]> {
  const { workspace, here } = shared;
  const { code, stdout, stderr } = await workspace.run(here("doctor", "counting", "--json", ...storage), {
    env,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return (JSON.parse(stdout) as Said).findings.filter(({ finding }) => finding === "storage");
}

beforeEach(async () => {
  const { workspace, here, jobComesTo } = shared;
  workspace.write("job.mjs", countingJob({ count: 20_000, ratePerSecond: 1_000, held: true }));
  workspace.start(here("run", "job.mjs"));
  await jobComesTo("counting", hasCompleted, "checkpoints");
});

test("of a user's own storage: the act that is refused, with its reason, and nothing stays there", async () => {
  const { workspace } = shared;
  const own = readFileSync(new URL("../storage/jobs/own-storage.mjs", import.meta.url), "utf8");
  const denying = own.replace(
    "return new OwnStorage(directory);",
    `const storage = new OwnStorage(directory);
     const denied = () => { throw new Error("the key has no right to " + process.env.DENIED); };
     if (process.env.DENIED) storage[process.env.DENIED] = denied;
     return storage;`,
  );
  workspace.write("own-storage.mjs", denying);
  mkdirSync(workspace.path(join("own-storage", shared.prefix)), { recursive: true });
  const storage = ["--storage", "./own-storage.mjs"];
  expect(await storageFindings(storage)).toEqual([]);
  for (const [denied, act] of [
    ["delete", "delete"],
    ["list", "list"],
    ["listUnfinished", "list"],
    ["put", "write"],
    ["get", "read"],
  ] as const)
    expect(await storageFindings(storage, { DENIED: denied })).toEqual([
      {
        finding: "storage",
        says: expect.stringMatching(
          new RegExp(`^own storage .* does not let this command ${act}: .*no right to ${denied}$`),
        ),
        help: expect.stringMatching(
          /list, read, write and delete there; this was tried on host .*credentials/,
        ),
      },
    ]);
  expect(readdirSync(workspace.path(join("own-storage", shared.prefix)))).toEqual([]);
});

test("of a directory: where none is, where it cannot be written, and where it can", async () => {
  const { workspace } = shared;
  const of = (directory: string) => storageFindings(["--checkpoint-dir", workspace.path(directory)]);
  expect(await of("none")).toEqual([
    expect.objectContaining({
      says: expect.stringMatching(/cannot be used: .*there is no directory .*none/),
    }),
  ]);
  mkdirSync(workspace.path("free"));
  expect(await of("free")).toEqual([]);
  mkdirSync(workspace.path("taken"));
  // Stands in the way of the job's objects, also for a user who may write everywhere.
  workspace.write("taken/counting", "a file");
  expect(await of("taken")).toEqual([
    expect.objectContaining({
      says: expect.stringMatching(/^directory .*taken does not let this command (delete|list|write): /),
    }),
  ]);
});

describe.skipIf(s3Binary === undefined)(
  `of S3 (${s3Binary === undefined ? S3_MISSING : "versitygw"})`,
  () => {
    test("what its policy does not allow", async () => {
      const s3 = await startS3Server();
      await s3.makeBucket("checkpoints");
      const proxy = await DenyingProxy.open(s3.endpoint);
      try {
        const env = { ...s3.environment, AWS_ENDPOINT_URL: proxy.url };
        const findings = () => storageFindings(["--storage", "s3://checkpoints/mine"], env);
        expect(await findings()).toEqual([]);
        for (const [denied, act] of [
          ["DELETE", "delete"],
          ["LIST", "list|delete"],
          ["PUT", "write"],
          ["GET", "read"],
        ] as const) {
          proxy.denied = denied;
          expect(await findings()).toEqual([
            expect.objectContaining({
              says: expect.stringMatching(
                new RegExp(
                  `^S3 bucket checkpoints, prefix mine/ does not let this command (${act}): .*AccessDenied`,
                ),
              ),
            }),
          ]);
        }
        proxy.denied = "HEAD";
        expect(await findings()).toEqual([
          expect.objectContaining({
            says: expect.stringMatching(/cannot be used: .*bucket checkpoints refuses these credentials/),
          }),
        ]);
      } finally {
        await proxy.close();
        await s3.stop();
      }
    });
  },
);
