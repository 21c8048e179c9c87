/** A storage as a user writes one: each object is one file of a flat directory, its name encoded. */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ObjectCorruptError, ObjectMissingError, StorageRefusedError } from "tidemark";

const digestOf = (content) => `sha256:${createHash("sha256").update(content).digest("hex")}`;
const absent = (error) => {
  if (error.code !== "ENOENT") throw error;
};

export class OwnStorage {
  constructor(directory) {
    this.directory = directory;
    this.description = `own storage ${directory}`;
  }

  pathOf(name) {
    return join(this.directory, encodeURIComponent(name));
  }

  async put(name, content, signal) {
    signal?.throwIfAborted();
    const unfinished = join(this.directory, `.${encodeURIComponent(name)}.${randomUUID()}`);
    const file = await open(unfinished, "wx");
    const hash = createHash("sha256");
    let bytes = 0;
    try {
      const aborted = new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
      });
      aborted.catch(() => {});
      const pieces = content[Symbol.asyncIterator]?.() ?? content[Symbol.iterator]();
      for (;;) {
        const { done, value } = await Promise.race([pieces.next(), aborted]).catch((error) => {
          void pieces.return?.();
          throw error;
        });
        if (done) break;
        hash.update(value);
        bytes += value.length;
        await file.writeFile(value);
      }
      await file.sync();
      const handle = { name, bytes, digest: `sha256:${hash.digest("hex")}` };
      const taken = await readFile(this.pathOf(name)).catch(absent);
      if (taken !== undefined && digestOf(taken) !== handle.digest)
        throw new StorageRefusedError(`${name} is there with other content`);
      await rename(unfinished, this.pathOf(name));
      return handle;
    } catch (error) {
      await rm(unfinished, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  }

  async get({ name, bytes, digest }) {
    const content = await readFile(this.pathOf(name)).catch(absent);
    if (content === undefined) throw new ObjectMissingError(name, `${name} is not in ${this.description}`);
    if (content.length !== bytes || digestOf(content) !== digest)
      throw new ObjectCorruptError(name, `${name} in ${this.description} has changed`);
    return content;
  }

  async assertPresent({ name, bytes }) {
    const found = await stat(this.pathOf(name)).catch(absent);
    if (found === undefined) throw new ObjectMissingError(name, `${name} is not in ${this.description}`);
    if (found.size !== bytes) throw new ObjectCorruptError(name, `${name} has ${found.size} bytes`);
  }

  async delete(name) {
    await rm(this.pathOf(name), { force: true });
    for await (const { file } of this.files(name, true))
      await rm(join(this.directory, file), { force: true });
  }

  async *files(prefix, unfinished) {
    for (const file of await readdir(this.directory)) {
      if (file.startsWith(".") !== unfinished) continue;
      const name = decodeURIComponent(unfinished ? file.slice(1, file.lastIndexOf(".")) : file);
      const found = name.startsWith(prefix) && (await stat(join(this.directory, file)).catch(absent));
      if (found) yield { name, bytes: found.size, file };
    }
  }

  list(prefix) {
    return this.files(prefix, false);
  }

  listUnfinished(prefix) {
    return this.files(prefix, true);
  }
}

export default async ({ access, prefix }) => {
  const directory = join(process.env.OWN_STORAGE ?? "own-storage", prefix);
  if (access === "make") await mkdir(directory, { recursive: true });
  return new OwnStorage(directory);
};
