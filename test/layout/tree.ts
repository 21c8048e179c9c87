/** The tree of the project as its rules see it: files and what is in them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path/posix";
import { fileURLToPath } from "node:url";

/** Path below the root -> text. */
export type Tree = ReadonlyMap<string, string>;

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export function readTree(): Tree {
  const skipped = new Set(["node_modules", "dist", "coverage", ".git", ".tidemark"]);
  const files = new Map<string, string>();
  const read = (directory: string): void => {
    for (const entry of readdirSync(join(ROOT, directory), { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (skipped.has(entry.name)) continue;
      if (entry.isDirectory()) read(path);
      else if (entry.isFile()) files.set(path, readFileSync(join(ROOT, path), "utf8"));
    }
  };
  read("");
  return files;
}

export function only(files: Tree, pattern: RegExp): Tree {
  return new Map([...files].filter(([file]) => pattern.test(file)));
}

/** The code that is shipped. */
export function shipped(files: Tree): Tree {
  return only(files, /^(src|machines)\/.*\.ts$/);
}
