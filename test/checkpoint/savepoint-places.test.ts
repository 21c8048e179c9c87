import { mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SavepointPlaces } from "../../src/checkpoint/savepoint-places.ts";
import { ConfigurationError } from "../../src/errors.ts";

describe("the places of savepoints", () => {
  const places = new SavepointPlaces(["/var/savepoints/", "file:///mnt/more", "nats:KEPT"]);

  it.each([
    "/var/savepoints",
    "/var/savepoints/",
    "/var/savepoints/a/b",
    "/var/other/../savepoints/a",
    "/var/savepoints/..a",
    "file:///var/savepoints/a",
    "/mnt/more/a",
    "nats:KEPT",
  ])("take %s", (place) => {
    expect(places.refusal(place)).toBeNull();
  });

  it.each([
    "/",
    "/var",
    "/var/savepoints-2",
    "/var/savepoints/../other",
    "/var/savepoints/..",
    "file:///var/savepoints/%2e%2e/other",
    "nats:OTHER",
  ])("do not take %s, and say what they take and which option changes it", (place) => {
    expect(places.refusal(place)).toBe(
      `savepoints may not be written to ${place}: the coordinators write them below /var/savepoints, below /mnt/more, ` +
        "in nats:KEPT only; give a place there, or start the coordinators with --savepoint-dir for this one, too",
    );
    expect(SavepointPlaces.anywhere.refusal(place)).toBeNull();
  });

  it.each([
    ["savepoints", "nor an absolute path"],
    ["nats:a.b", "cannot be the name of a bucket"],
    ["file://host/a", "names no directory of this machine"],
    ["/a\0b", "none of them is NUL"],
    [`/${"a".repeat(2000)}`, "at most 1024"],
  ])("do not take %j, which is none, wherever savepoints may be", (place, words) => {
    for (const each of [places, SavepointPlaces.anywhere]) expect(each.refusal(place)).toContain(words);
    expect(() => new SavepointPlaces([place])).toThrow(ConfigurationError);
  });
});

describe("links in the place of a savepoint", () => {
  let root: string;
  beforeAll(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), "tidemark-places-")));
    for (const each of ["allowed/inner", "outside"]) await mkdir(join(root, each), { recursive: true });
    await symlink(join(root, "outside"), join(root, "allowed/out"));
    await symlink(join(root, "allowed/inner"), join(root, "allowed/in"));
    await symlink(join(root, "allowed"), join(root, "alias"));
    await symlink(join(root, "allowed/loop"), join(root, "allowed/loop"));
  });
  afterAll(() => rm(root, { recursive: true }));

  it("do not lead out of it", async () => {
    for (const allowed of ["allowed", "alias"]) {
      const places = new SavepointPlaces([join(root, allowed)]);
      for (const inside of ["", "inner", "in", "not/there/yet"])
        await places.prove(join(root, "allowed", inside));
      const out = join(root, allowed, "out/below");
      await expect(places.prove(out)).rejects.toThrow(
        `savepoints may not be written to ${out}, which is ${join(root, "outside/below")}: `,
      );
      await expect(places.prove(join(root, allowed, "loop"))).rejects.toThrow("ELOOP");
    }
    await SavepointPlaces.anywhere.prove(join(root, "allowed/out"));
  });
});
