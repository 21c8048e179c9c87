/** Mutations of checkpoints that have objects in common (P81). */
import type { Mutation } from "./mutations.ts";

export const MUTATIONS_OF_STATE: readonly Mutation[] = [
  {
    name: "a stale local copy is taken",
    draws: "local copies",
    file: "src/checkpoint/local-copies.ts",
    find: "const content = await this.#files.get(handle);",
    replace:
      'const partOf = (name: string) => name.split("/").at(-1);\n' +
      "        const stale = [...this.#names].find((name) => partOf(name) === partOf(handle.name));\n" +
      '        const content = await this.#files.get({ ...handle, name: stale!, digest: "" });',
    also: [
      {
        file: "src/memory/storage.ts",
        find: "if (kept.digest !== handle.digest || kept.content.length !== handle.bytes) {",
        replace: 'if (handle.digest !== "" && kept.digest !== handle.digest) {',
      },
    ],
  },
  {
    name: "what a checkpoint has in common with a newer one goes with it",
    file: "src/runtime/leader/checkpoints/object-reaper.ts",
    find: "await this.#delete(names().filter((name) => !kept.has(name)));",
    replace:
      'await this.#delete(names().filter((name) => !kept.has(name) || !name.includes("/transaction-")));',
  },
  {
    name: "a checkpoint rests on one that was given up",
    file: "src/runtime/worker/snapshots/state-layers.ts",
    find: "const state = this.#checkpoints.get(checkpointId)?.get(nameOf(address));",
    replace: "const state = [...this.#checkpoints.values()].at(-1)?.get(nameOf(address));",
    also: [
      {
        file: "src/runtime/worker/snapshots/state-layers.ts",
        find: "    this.#checkpoints.delete(checkpointId);\n  }\n",
        replace: "  }\n",
      },
    ],
  },
  {
    name: "a row that was removed comes back from an older checkpoint",
    file: "src/state/heap/row-group.ts",
    find: "if (!block.isUnseen(at)) this.tellRemoval(block.keys[at]!, block.namespaceAt(at));",
    replace: "",
  },
  {
    name: "a row that has changed twice is told as of its first change",
    file: "src/state/heap/restored-rows.ts",
    find: "else target.own(directory, block).write(at, value, true);",
    replace: "",
  },
  {
    name: "changes are told since a cut that came later",
    file: "src/state/heap/blocks/block.ts",
    find: "if (words[word + 1]! >> 1 >= since)",
    replace: "if (words[word + 1]! >> 1 > since)",
  },
];
