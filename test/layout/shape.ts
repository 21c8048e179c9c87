/** How long a file may be, how wide a line of words and a folder, and what a file is called. */
import { basename, dirname } from "node:path/posix";
import { only, type Tree } from "./tree.ts";

export const FILE_LINES_MAX = 450;
/** The formatter breaks code, not comments. A URL or an example that cannot be broken has no spaces. */
export const WORDS_COLUMNS_MAX = 120;
/** A folder is split by concept before it has more. Golden traces are one list, however long. */
export const FOLDER_FILES_MAX = 12;

export function longFiles(files: Tree): string[] {
  return [...files].flatMap(([file, text]) => {
    const lines = text.split("\n").length - 1;
    return lines > FILE_LINES_MAX
      ? [`${file}: ${lines} lines, at most ${FILE_LINES_MAX}: split it by concept`]
      : [];
  });
}

export function wideComments(files: Tree): string[] {
  return [...files].flatMap(([file, text]) =>
    text.split("\n").flatMap((line, i) => {
      const words = /^\s*(?:\/?\*+|\/\/)\s*(.*?)(?:\s*\*\/)?$/.exec(line)?.[1];
      const isWide = line.length > WORDS_COLUMNS_MAX && words?.includes(" ");
      return isWide ? [`${file}:${i + 1}: a comment of ${line.length} columns: break the line`] : [];
    }),
  );
}

/** A row of a table and a line of an example cannot be broken; an entry of the changelog is one line. */
export function wideText(files: Tree): string[] {
  return [...files].flatMap(([file, text]) => {
    if (file === "CHANGELOG.md") return [];
    let isExample = false;
    return text.split("\n").flatMap((line, i) => {
      if (line.trimStart().startsWith("```")) isExample = !isExample;
      const isProse = !isExample && !line.startsWith("|");
      const isWide = isProse && line.length > WORDS_COLUMNS_MAX && line.trim().includes(" ");
      return isWide ? [`${file}:${i + 1}: a line of ${line.length} columns: break it`] : [];
    });
  });
}

export function wideFolders(files: Tree): string[] {
  const counts = new Map<string, number>();
  for (const folder of [...only(files, /^(src|machines|test|docs|docker)\//).keys()].map(dirname))
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  return [...counts]
    .filter(([folder, count]) => count > FOLDER_FILES_MAX && !folder.endsWith("/traces"))
    .map(([folder, count]) => `${folder}: ${count} files, at most ${FOLDER_FILES_MAX}: split it by concept`);
}

export function emptyNames(files: Tree): string[] {
  const empty = /(^|[/-])(utils?|common|helpers?|managers?|misc)([/.-]|$)/;
  return [...files.keys()]
    .filter((file) => empty.test(file))
    .map(
      (file) =>
        `${file}: name it (${basename(file)}) after what it does, or move its content to where it belongs`,
    );
}
