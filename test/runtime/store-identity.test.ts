/** Which record store a process names, and when it calls another process a stranger. */
import { expect, it } from "vitest";
import { NO_STORE, StoreIdentity, withStore } from "../../src/control/store-identity.ts";
import { PermissionDeniedError, RequestTimeoutError } from "../../src/errors.ts";

function identity(found: () => string | undefined) {
  let nowMs = 0;
  let looks = 0;
  return {
    passes: (ms: number) => {
      nowMs += ms;
    },
    looks: () => looks,
    of: new StoreIdentity({
      find: async () => {
        looks++;
        return found();
      },
      prefix: "tidemark",
      bucket: "tidemark-jobs",
      clock: { elapsedMs: () => nowMs },
    }),
  };
}

it("is looked up once, and again where another process names another one", async () => {
  let store = "one";
  const { of, looks, passes } = identity(() => store);
  expect(await withStore({ type: "any" }, of)).toEqual({ type: "any", store: "one" });
  expect(await of.isOther("one")).toBe(false);
  passes(60_000);
  expect(await of.id()).toBe("one");
  expect(looks()).toBe(1);
  expect(await of.isOther("two")).toBe(true);
  expect(looks()).toBe(2);
  // It was put back from a backup: the other process has seen that first.
  store = "three";
  passes(1000);
  expect(await of.isOther("three")).toBe(false);
  expect(await of.isOther("one")).toBe(true);
});

it("is that of no leader while there is no bucket, and is found as soon as there is one", async () => {
  let store: string | undefined;
  const { of, passes } = identity(() => store);
  expect(await of.id()).toBe(NO_STORE);
  expect(await of.isOther("one")).toBe(true);
  store = "one";
  passes(1000);
  expect(await of.isOther("one")).toBe(false);
});

it("that a process may not look up is named by none, and keeps it from nothing", async () => {
  const { of, looks, passes } = identity(() => {
    throw new PermissionDeniedError("publish", "$JS.API.STREAM.INFO.KV_tidemark-jobs");
  });
  expect(await withStore({ type: "any" }, of)).toEqual({ type: "any" });
  expect(await of.isOther("one")).toBe(false);
  passes(1000);
  await of.id();
  expect(looks()).toBe(1);
});

it("that does not come in time holds a request up, which is sent again, until it is known", async () => {
  let isThere = false;
  const { of, passes } = identity(() => {
    if (isThere) return "one";
    throw new RequestTimeoutError("no answer");
  });
  await expect(withStore({}, of)).rejects.toMatchObject({ retry: "now" });
  isThere = true;
  passes(1000);
  expect(await withStore({}, of)).toEqual({ store: "one" });
});
