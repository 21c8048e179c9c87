/**
 * Which room may import which, and that no imports go round in a circle.
 *
 * A rule that stands in the way is changed here, with a reason, and not walked around.
 */
import { dirname, join } from "node:path/posix";
import type { Tree } from "./tree.ts";

interface Rule {
  readonly files: RegExp;
  /** A room ends in "/", a namespace in ":" or "/"; else it is one file, one package, or "*"; "type": no values. */
  readonly mayImport: readonly string[];
}

interface Import {
  readonly line: number;
  /** The specifier as it is written. */
  readonly specifier: string;
  /** Path below the root, package or built-in module. */
  readonly target: string;
  readonly typeOnly: boolean;
}

const words = [
  "src/errors.ts",
  "src/directories.ts",
  "src/shell-command.ts",
  "src/timer.ts",
  "src/clock.ts",
  "type machines/protocol.ts",
];
const contracts = [
  "src/formats/",
  "src/state/described.ts",
  "src/dataflow/",
  "src/checkpoint/",
  "src/runtime/record-store.ts",
  "src/observe/feed.ts",
  ...words,
];
const running = [
  "machines/",
  "src/formats/",
  "src/job/",
  "src/dataflow/",
  "src/state/",
  "src/checkpoint/",
  "src/runtime/",
  "src/control/",
  "src/config/",
  "src/errors.ts",
  "src/shell-command.ts",
  "src/clock.ts",
  "src/observe/feed.ts",
  "src/observe/troubles.ts",
  "xstate",
  "node:",
];
const connecting = ["src/formats/", "src/dataflow/", "src/state/", "src/config/", ...words, "node:"];

/** What a room imports besides itself. The first rule that fits a file holds. */
const RULES: readonly Rule[] = [
  { files: /^machines\//, mayImport: ["xstate"] },
  { files: /^src\/(errors|shell-command|timer)\.ts$/, mayImport: [] },
  { files: /^src\/directories\.ts$/, mayImport: ["node:"] },
  { files: /^src\/clock\.ts$/, mayImport: ["src/timer.ts"] },
  {
    files: /^src\/config\//,
    mayImport: ["src/errors.ts", "type machines/protocol.ts", "yaml", "zod", "node:"],
  },
  {
    files: /^src\/job\//,
    mayImport: [
      "src/config/",
      "src/dataflow/",
      "src/state/",
      "src/checkpoint/",
      "src/formats/",
      "machines/graph/topology.ts",
      ...words,
      "type xstate",
      "jiti",
      "node:",
    ],
  },
  // The steps of a user's machine are the way of a record.
  {
    files: /^src\/dataflow\/operators\/machines\//,
    mayImport: ["src/state/", "src/formats/", ...words, "xstate", "node:"],
  },
  {
    files: /^src\/dataflow\//,
    mayImport: ["src/state/", "src/checkpoint/", "src/formats/", ...words, "msgpackr", "node:"],
  },
  {
    files: /^src\/state\//,
    mayImport: ["src/config/", "src/checkpoint/", "src/formats/", ...words, "node:"],
  },
  { files: /^src\/checkpoint\//, mayImport: ["src/formats/", ...words, "node:"] },
  // What is stored may have been written by another version or program: each shape is a schema.
  { files: /^src\/formats\//, mayImport: [...words, "msgpackr", "zod", "node:"] },
  // So are those of messages, which come from any connection.
  { files: /^src\/control\/shapes\.ts$/, mayImport: [...running, "zod"] },
  { files: /^src\/(runtime|control)\//, mayImport: running },
  { files: /^src\/nats\//, mayImport: [...contracts, "@nats-io/", "node:"] },
  { files: /^src\/s3\//, mayImport: [...contracts, "@aws-sdk/client-s3", "node:"] },
  { files: /^src\/memory\//, mayImport: [...contracts, "src/state/disk/store/row-store.ts", "node:"] },
  { files: /^src\/lmdb\//, mayImport: ["src/state/", ...words, "lmdb", "node:"] },
  { files: /^src\/connectors\/(jetstream|kv|nats)\//, mayImport: [...connecting, "src/nats/"] },
  { files: /^src\/connectors\/postgres\//, mayImport: [...connecting, "pg", "pg-copy-streams"] },
  { files: /^src\/connectors\/mysql\//, mayImport: [...connecting, "mysql2"] },
  { files: /^src\/connectors\//, mayImport: connecting },
  { files: /^src\/observe\//, mayImport: [...contracts, "pino", "node:"] },
  {
    files: /^src\/testing\//,
    mayImport: [
      "src/config/",
      "src/job/",
      "src/dataflow/",
      "src/formats/",
      "src/checkpoint/storage.ts",
      "src/state/",
      ...words,
      "node:",
    ],
  },
  { files: /^src\/(cli|examples)\/|^src\/(index|connect)\.ts$/, mayImport: ["*"] },
];

export function forbiddenImports(files: Tree): string[] {
  return [...files].flatMap(([file, text]) => {
    const rule = RULES.find((candidate) => candidate.files.test(file));
    if (!rule) return [`${file}: no rule for this room: add one to RULES in test/layout/imports.ts`];
    return importsOf(file, text)
      .filter(
        (found) =>
          roomOf(found.target) !== roomOf(file) && !rule.mayImport.some((entry) => allows(entry, found)),
      )
      .map(({ line, target, typeOnly }) => {
        const what = typeOnly ? `imports ${target} (types)` : `imports ${target}`;
        return `${file}:${line}: ${what}; besides itself ${roomOf(file)} may import only: ${rule.mayImport.join(", ")}`;
      });
  });
}

function allows(entry: string, { target, typeOnly }: Import): boolean {
  const [place = "", typesOnly] = entry.startsWith("type ")
    ? [entry.slice("type ".length), true]
    : [entry, false];
  if (typesOnly && !typeOnly) return false;
  if (place === "*") return true;
  return /[/:]$/.test(place) ? target.startsWith(place) : target === place || target.startsWith(`${place}/`);
}

/** Static imports and exports begin a line, as the formatter leaves them; of dynamic ones only those of a literal. */
function importsOf(file: string, source: string): Import[] {
  const text = source.replace(/^[ \t]*(\/\*[\s\S]*?\*\/|\/\/.*$)/gm, (comment) =>
    comment.replace(/[^\n]/g, " "),
  );
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s+)?(?:([\w$*{},\s]+?)\s+from\s+)?"([^"]+)"/gm,
  );
  const calls = text.matchAll(/(typeof\s+)?\bimport\(\s*"([^"]+)"/g);
  const found = (index: number, specifier: string, typeOnly: boolean): Import => ({
    line: text.slice(0, index).split("\n").length,
    specifier,
    target: specifier.startsWith(".") ? join(dirname(file), specifier) : specifier,
    typeOnly,
  });
  return [
    ...[...statements].map((m) => found(m.index, m[3]!, m[1] !== undefined || namesOnlyTypes(m[2]))),
    ...[...calls].map((m) => found(m.index, m[2]!, m[1] !== undefined)),
  ];
}

function namesOnlyTypes(clause: string | undefined): boolean {
  const names = clause
    ?.match(/^\{([^}]*)\}$/)?.[1]
    ?.split(",")
    .map((name) => name.trim());
  return names?.every((name) => name === "" || name.startsWith("type ")) ?? false;
}

/** `machines`, `src/state`, `src/errors.ts`. */
function roomOf(path: string): string {
  return path.startsWith("src/") ? path.split("/").slice(0, 2).join("/") : path.split("/")[0]!;
}

export function roomCycles(files: Tree): string[] {
  /** Room -> room it imports -> where. */
  const edges = new Map<string, Map<string, string>>();
  for (const [file, text] of files) {
    for (const { target, line } of importsOf(file, text)) {
      const [from, to] = [roomOf(file), roomOf(target)];
      if (from === to || !/^(src|machines)\//.test(target)) continue;
      edges.set(from, (edges.get(from) ?? new Map<string, string>()).set(to, `${file}:${line}`));
    }
  }
  const cycles = new Set<string>();
  const done = new Set<string>();
  const visit = (room: string, path: readonly string[]): void => {
    if (path.includes(room)) {
      const rooms = path.slice(path.indexOf(room));
      const places = rooms.map((from, i) => edges.get(from)!.get(rooms[i + 1] ?? room));
      cycles.add(
        `${[...rooms, room].join(" -> ")} (${places.join(", ")}): move what both need into one of them`,
      );
    } else if (!done.has(room)) {
      for (const next of edges.get(room)?.keys() ?? []) visit(next, [...path, room]);
      done.add(room);
    }
  };
  for (const room of edges.keys()) visit(room, []);
  return [...cycles];
}
