/** The manifest of a checkpoint, as msgpack in an object of checkpoint storage: all that a restore needs (P61). */
import { z } from "zod";
import type { Manifest } from "../../machines/protocol.ts";
import { ObjectCorruptError } from "../errors.ts";
import { encodeValue } from "./codec.ts";
import { count, positive, text, unpacked } from "./shape.ts";
import { snapshot } from "./snapshot.ts";

const FORMAT = 1;

export const manifestSchema: z.ZodType<Manifest> = z
  .object({
    format: z.literal(FORMAT),
    job: text,
    incarnation: text,
    generation: count,
    nonce: text,
    checkpointId: count,
    graphFingerprint: text,
    maxParallelism: positive,
    subtasks: z.array(snapshot),
  })
  .check(({ value: { subtasks, maxParallelism }, issues }) => {
    const wrong = (message: string, input: unknown, ...path: PropertyKey[]) =>
      issues.push({ code: "custom", message, input, path: ["subtasks", ...path] });
    const names = new Set<string>();
    for (const [i, { subtask, states }] of subtasks.entries()) {
      if (!/^[^/]+\/\d+$/.test(subtask)) wrong("no name of a subtask", subtask, i, "subtask");
      if (names.has(subtask)) wrong("two snapshots of one subtask", subtask, i, "subtask");
      names.add(subtask);
      for (const [k, state] of states.entries())
        if (state.kind === "keyed" && state.keyGroups.last >= maxParallelism)
          wrong(
            `no key group of ${maxParallelism}`,
            state.keyGroups.last,
            i,
            "states",
            k,
            "keyGroups",
            "last",
          );
    }
  });

export function encodeManifest(manifest: Manifest): Uint8Array {
  return encodeValue(manifest);
}

/** @param name of the object that holds it. @throws ObjectCorruptError */
export function parseManifest(content: Uint8Array, name: string): Manifest {
  const found = unpacked(manifestSchema, content, FORMAT);
  if ("value" in found) return found.value;
  throw new ObjectCorruptError(name, `object "${name}" is no manifest that can be read: ${found.problem}`);
}
