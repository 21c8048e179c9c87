/** What goes wrong with stored objects, done on purpose and behind the back of our code. */
import { readFile, writeFile } from "node:fs/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import type { NatsConnection } from "@nats-io/transport-node";

/** Deletes the last chunk, which is the last message of its subject, and stores what `change` makes of it. */
export async function replaceLastChunk(
  connection: NatsConnection,
  bucket: string,
  name: string,
  change: (chunk: Uint8Array) => Uint8Array | undefined,
): Promise<void> {
  const manager = await jetstreamManager(connection);
  const info = await (await new Objm(connection).open(bucket)).info(name);
  const subject = `$O.${bucket}.C.${info?.nuid}`;
  const chunk = await manager.streams.getMessage(`OBJ_${bucket}`, { last_by_subj: subject });
  if (chunk === null) throw new Error(`no chunk of ${name}`);
  await manager.streams.deleteMessage(`OBJ_${bucket}`, chunk.seq);
  const changed = change(new Uint8Array(chunk.data));
  if (changed !== undefined) await manager.jetstream().publish(subject, changed);
}

export function flipLastBit(content: Uint8Array): Uint8Array {
  const at = content.length - 1;
  content[at] = content[at]! ^ 1;
  return content;
}

export async function corruptFile(path: string): Promise<void> {
  await writeFile(path, flipLastBit(await readFile(path)));
}
