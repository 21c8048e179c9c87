/**
 * Preloaded into a process of a test (`NODE_OPTIONS=--import …`): writes below SLOW_DIRECTORY take their time while
 * there is a file SLOW_WHILE, as on a disk that is busy.
 */
import { existsSync } from "node:fs";
import files from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

/** The pace of writing to each file. */
const BYTES_PER_MS = 5_000;
const { SLOW_DIRECTORY: directory, SLOW_WHILE: flag } = process.env;

if (directory !== undefined && flag !== undefined) {
  const open = files.open;
  files.open = async (path, ...rest) => {
    const file = await open(path, ...rest);
    if (!String(path).startsWith(directory)) return file;
    const write = file.writeFile.bind(file);
    file.writeFile = async (content, ...more) => {
      if (existsSync(flag)) await sleep((content as Uint8Array).length / BYTES_PER_MS);
      return await write(content, ...more);
    };
    return file;
  };
  syncBuiltinESMExports();
}
