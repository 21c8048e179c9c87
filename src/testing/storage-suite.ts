/**
 * What every checkpoint storage does (`src/checkpoint/storage.ts`), as named cases for any test runner: ours pass them,
 * and a storage of a user's own has to.
 */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "../checkpoint/storage.ts";
import { ObjectCorruptError, ObjectMissingError, StorageRefusedError } from "../errors.ts";
import { pause } from "../timer.ts";
import { bytes, gate, listed, names, noise, rejection, same, silent } from "./storage-content.ts";

export interface StorageUnderTest {
  readonly storage: CheckpointStorage;
  /** Changes the stored bytes of an object behind the storage's back, not its name or size. */
  corrupt(name: string): Promise<void>;
  /** Called at the end of the case. */
  close?(): Promise<void>;
}

export interface StorageSuiteOptions {
  /** Opens an empty storage: each case has its own. */
  open(): Promise<StorageUnderTest>;
  /**
   * So much of a put that is under way can be seen by `listUnfinished`. Default 512 KiB. "none": a put is one step, and
   * the case of that is left out.
   */
  readonly unfinishedFromBytes?: number | "none";
}

/** `run` rejects with an AssertionError, or with what the storage threw, where the storage breaks the contract. */
export interface StorageCase {
  readonly name: string;
  run(): Promise<void>;
}

const KIB = 1024;
const UNFINISHED_FROM_BYTES = 512 * KIB;
/** How long a case waits for what another call is about to do. */
const PATIENCE_MS = 30_000;

/**
 * The cases, in an order that begins with the simplest. For node:test and vitest alike:
 * `for (const { name, run } of storageCases({ open })) test(name, run);`
 */
export function storageCases({
  open,
  unfinishedFromBytes = UNFINISHED_FROM_BYTES,
}: StorageSuiteOptions): StorageCase[] {
  const all: Readonly<Record<string, Case>> = {
    ...kept,
    ...refused,
    ...found,
    ...(unfinishedFromBytes === "none"
      ? {}
      : {
          "finds what a put under way has left by its name, and a delete frees it": (
            under: StorageUnderTest,
          ) => unfinished(under, unfinishedFromBytes),
        }),
  };
  return Object.entries(all).map(([name, work]) => ({
    name,
    async run() {
      const under = await open();
      try {
        await work(under);
      } finally {
        await under.close?.();
      }
    },
  }));
}

type Case = (under: StorageUnderTest) => Promise<void>;

const kept: Readonly<Record<string, Case>> = {
  async "says which storage it is"({ storage }) {
    strictEqual(typeof storage.description, "string");
    ok(storage.description.length > 0, "description is empty");
  },

  async "gives back what was put, with size and digest in the handle"({ storage }) {
    const content = noise(1_000, 1);
    const handle = await storage.put("job/inc/1/checkpoint-1/manifest", [content]);
    deepStrictEqual({ ...handle }, handleOf("job/inc/1/checkpoint-1/manifest", content));
    const back = await storage.get(handle);
    assertSame(back, content);
    back.fill(0);
    assertSame(await storage.get(handle), content);
  },

  async "keeps objects of any size, also an empty one"({ storage }) {
    for (const size of [0, 1, 512 * KIB - 1, 512 * KIB, 512 * KIB + 1, 3_000_000]) {
      const content = noise(size, size);
      const handle = await storage.put(`sizes/${size}`, [content]);
      deepStrictEqual({ ...handle }, handleOf(`sizes/${size}`, content));
      assertSame(await storage.get(handle), content);
    }
  },

  async "takes content in pieces of any size, also from an asynchronous producer"({ storage }) {
    const content = noise(1_500_000, 3);
    async function* pieces() {
      for (let at = 0, step = 1; at < content.length; at += step, step = (step * 7 + 1) % 90_000) {
        if (step % 5 === 0) await pause(0);
        yield content.subarray(at, at + step);
      }
    }
    assertSame(await storage.get(await storage.put("pieces", pieces())), content);
  },

  async "puts and gets many at once"({ storage }) {
    const contents = Array.from({ length: 40 }, (_, i) => noise(i * 5_000, i));
    const handles = await Promise.all(contents.map((content, i) => storage.put(`many/${i}`, [content])));
    const back = await Promise.all(handles.map((handle) => storage.get(handle)));
    for (const [i, content] of back.entries()) assertSame(content, contents[i]!);
  },

  async "counts nothing as unfinished that was put whole"({ storage }) {
    const handle = await storage.put("kept/whole", [bytes("whole")]);
    deepStrictEqual(await listed(storage.listUnfinished("")), []);
    assertSame(await storage.get(handle), bytes("whole"));
  },
};

const refused: Readonly<Record<string, Case>> = {
  async "allows the same name with the same content, and refuses other content"({ storage }) {
    for (const size of [4, 1_200_000]) {
      const name = `twice/${size}`;
      const content = noise(size, 5);
      const first = await storage.put(name, [content]);
      const again = await storage.put(name, [content.subarray(0, 2), content.subarray(2)]);
      deepStrictEqual({ ...again }, { ...first });
      // The size is the same: a storage that compares sizes takes it for the same object.
      await assertThrown(StorageRefusedError, storage.put(name, [noise(size, 6)]));
      assertSame(await storage.get(first), content);
      strictEqual((await listed(storage.list(name))).length, 1);
    }
  },

  async "stops at an abort with its reason, and leaves nothing behind"({ storage }) {
    const reason = new Error("checkpoint 7 was aborted");
    strictEqual(await rejection(storage.put("aborted/0", [bytes("x")], AbortSignal.abort(reason))), reason);

    const controller = new AbortController();
    const returned = gate();
    async function* endless() {
      try {
        for (let i = 0; ; i++) {
          if (i === 20) controller.abort(reason);
          yield noise(100_000, i);
        }
      } finally {
        returned.open();
      }
    }
    strictEqual(await rejection(storage.put("aborted/1", endless(), controller.signal)), reason);
    await returned.opened;

    const late = new AbortController();
    const waiting = rejection(storage.put("aborted/2", silent(), late.signal));
    await pause(20);
    late.abort(reason);
    strictEqual(await waiting, reason);
    deepStrictEqual(await listed(storage.list("aborted/")), []);
    deepStrictEqual(await listed(storage.listUnfinished("")), []);
  },

  async "passes on the error of a producer, and leaves nothing behind"({ storage }) {
    const broken = new RangeError("state broke");
    async function* failing() {
      yield noise(700_000, 1);
      throw broken;
    }
    strictEqual(await rejection(storage.put("failing", failing())), broken);
    deepStrictEqual(await listed(storage.list("failing")), []);
    deepStrictEqual(await listed(storage.listUnfinished("")), []);
  },
};

const found: Readonly<Record<string, Case>> = {
  async "names an object that is not there"({ storage }) {
    const handle = await storage.put("missing", [bytes("x")]);
    await storage.delete("missing");
    await assertNamed(ObjectMissingError, "missing", storage.get(handle));
  },

  async "finds what is there without reading it, and names what is missing or another one"({ storage }) {
    for (const size of [0, 10, 1_200_000]) {
      const name = `present/${size}`;
      const handle = await storage.put(name, [noise(size, 4)]);
      await storage.assertPresent(handle);
      await assertNamed(ObjectCorruptError, name, storage.assertPresent({ ...handle, bytes: size + 1 }));
      await storage.delete(name);
      await assertNamed(ObjectMissingError, name, storage.assertPresent(handle));
    }
  },

  async "takes a name again after its object was deleted"({ storage }) {
    await storage.put("again", [bytes("old")]);
    await storage.delete("again");
    assertSame(await storage.get(await storage.put("again", [bytes("new")])), bytes("new"));
  },

  async "deletes what is not there without complaint"({ storage }) {
    await storage.delete("never/was/there");
  },

  async "names an object whose bytes have changed"({ storage, corrupt }) {
    for (const size of [10, 1_200_000]) {
      const handle = await storage.put(`corrupt/${size}`, [noise(size, 9)]);
      await corrupt(handle.name);
      await assertNamed(ObjectCorruptError, handle.name, storage.get(handle));
    }
  },

  async "tells the object of a handle from another one of that name"({ storage }) {
    const handle = await storage.put("swap", [bytes("one")]);
    await storage.delete("swap");
    await storage.put("swap", [bytes("two")]);
    await assertNamed(ObjectCorruptError, "swap", storage.get(handle));
  },

  async "lists by prefix, with sizes"({ storage }) {
    for (const name of ["list/a/1", "list/a/2", "list/ab/1", "list/b"])
      await storage.put(name, [bytes(name)]);
    const below = async (prefix: string) => names(await listed(storage.list(prefix)));
    deepStrictEqual(await below("list/"), ["list/a/1", "list/a/2", "list/ab/1", "list/b"]);
    deepStrictEqual(await below("list/a"), ["list/a/1", "list/a/2", "list/ab/1"]);
    deepStrictEqual(await below("list/a/"), ["list/a/1", "list/a/2"]);
    deepStrictEqual(await below("list/c/"), []);
    ok((await below("")).includes("list/b"), 'the prefix "" lists all');
    deepStrictEqual(await listed(storage.list("list/b")), [{ name: "list/b", bytes: 6 }]);
    await storage.delete("list/a/1");
    deepStrictEqual(await below("list/a/"), ["list/a/2"]);
  },
};

async function unfinished({ storage }: StorageUnderTest, fromBytes: number): Promise<void> {
  const pieceBytes = Math.ceil(fromBytes * 0.7);
  const halfway = gate();
  const goOn = gate();
  async function* slow() {
    yield noise(pieceBytes, 1);
    yield noise(pieceBytes, 2);
    halfway.open();
    await goOn.opened;
  }
  const whole = await storage.put("halves/1/whole", [noise(pieceBytes, 4)]);
  const putting = storage.put("halves/1/half", slow()).catch(() => undefined);
  await halfway.opened;
  const left = await untilListed(() => listed(storage.listUnfinished("halves/1/")), fromBytes / 2);
  deepStrictEqual(names(left), ["halves/1/half"]);
  deepStrictEqual(await listed(storage.listUnfinished("halves/2/")), []);
  deepStrictEqual(names(await listed(storage.list("halves/"))), ["halves/1/whole"]);
  await storage.delete("halves/1/half");
  deepStrictEqual(await listed(storage.listUnfinished("")), []);
  strictEqual((await storage.get(whole)).length, pieceBytes);
  goOn.open();
  await putting;
  await storage.delete("halves/1/half");
  deepStrictEqual(await listed(storage.list("halves/1/half")), []);
  deepStrictEqual(await listed(storage.listUnfinished("")), []);
}

async function untilListed(list: () => Promise<StoredObject[]>, bytesMin: number): Promise<StoredObject[]> {
  const endMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const left = await list();
    if (left.some((object) => object.bytes > bytesMin)) return left;
    ok(performance.now() < endMs, "listUnfinished shows what a put has left so far");
    await pause(20);
  }
}

function handleOf(name: string, content: Uint8Array): ObjectHandle {
  const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
  return { name, bytes: content.length, digest };
}

function assertSame(found: Uint8Array, wanted: Uint8Array): void {
  ok(same(found, wanted), `${found.length} bytes are not the ${wanted.length} bytes that were put`);
}

async function assertThrown(kind: new (...given: never[]) => Error, outcome: Promise<unknown>) {
  const error = await rejection(outcome);
  ok(error instanceof kind, `rejects with ${kind.name}, not with ${error}`);
  return error;
}

async function assertNamed(
  kind: typeof ObjectMissingError | typeof ObjectCorruptError,
  name: string,
  outcome: Promise<unknown>,
): Promise<void> {
  const error = (await assertThrown(kind, outcome)) as ObjectMissingError;
  strictEqual(error.object, name);
  ok(error.message.includes(name), `the message names the object: ${error.message}`);
}
