/** The calls of the file system, each with a fate. */
import * as nodeFiles from "node:fs/promises";
import type { SinkFiles } from "../../../src/connectors/sink-folder.ts";
import type { FaultPlan } from "./sink.contract.ts";

/** Files of writers that crashed in the middle; a process that ends would close them. */
const opened: nodeFiles.FileHandle[] = [];

export async function closeFaultyFiles(): Promise<void> {
  for (const handle of opened.splice(0)) await handle.close().catch(() => {});
}

export function faultyFiles(plan: FaultPlan): SinkFiles {
  const wrap =
    <A extends unknown[], R>(perform: (...args: A) => Promise<R>) =>
    (...args: A) =>
      plan.call(() => perform(...args));
  const { mkdir, readdir, readFile, rename, stat, unlink } = nodeFiles;
  const open: typeof nodeFiles.open = async (...args) => {
    const handle = await nodeFiles.open(...args);
    opened.push(handle);
    return handle;
  };
  const calls = { mkdir, open, readdir, readFile, rename, stat, unlink };
  return Object.fromEntries(
    Object.entries(calls).map(([name, call]) => [name, wrap(call as never)]),
  ) as unknown as SinkFiles;
}
