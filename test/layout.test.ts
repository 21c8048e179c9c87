/**
 * The shape of the tree: which room may import which, how long a file may be, what may not be in it.
 *
 * A finding says where, which rule, and what to do. A rule that stands in the way is changed here, with a reason, and
 * not walked around.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path/posix";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/** Path below the root -> text. */
type Tree = ReadonlyMap<string, string>;

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

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const FILE_LINES_MAX = 450;
/** The formatter breaks code, not comments. A URL or an example that cannot be broken has no spaces. */
const COMMENT_COLUMNS_MAX = 120;
/** A folder is split by concept before it has more. Golden traces are one list, however long. */
const FOLDER_FILES_MAX = 12;

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
      ...words,
      "jiti",
      "node:",
    ],
  },
  {
    files: /^src\/dataflow\//,
    mayImport: ["src/state/", "src/checkpoint/", "src/formats/", ...words, "msgpackr", "node:"],
  },
  { files: /^src\/state\//, mayImport: ["src/checkpoint/", "src/formats/", ...words, "node:"] },
  { files: /^src\/checkpoint\//, mayImport: ["src/formats/", ...words, "node:"] },
  // What is stored may have been written by another version or program: each shape is a schema.
  { files: /^src\/formats\//, mayImport: [...words, "msgpackr", "zod", "node:"] },
  // So are those of messages, which come from any connection.
  { files: /^src\/control\/shapes\.ts$/, mayImport: [...running, "zod"] },
  { files: /^src\/(runtime|control)\//, mayImport: running },
  { files: /^src\/nats\//, mayImport: [...contracts, "@nats-io/", "node:"] },
  { files: /^src\/memory\//, mayImport: [...contracts, "node:"] },
  { files: /^src\/connectors\/(jetstream|kv)\//, mayImport: [...connecting, "src/nats/"] },
  { files: /^src\/connectors\//, mayImport: connecting },
  { files: /^src\/observe\//, mayImport: [...contracts, "pino", "node:"] },
  { files: /^src\/(cli|examples)\/|^src\/index\.ts$/, mayImport: ["*"] },
];

/** What uses the platform's timers: the one place for all, and files whose durations are constants of their own. */
const OWN_TIMERS: readonly string[] = [
  "src/timer.ts",
  "src/cli/run/children.ts",
  "src/cli/process/lifetime.ts",
  "src/cli/run/progress.ts",
  "src/cli/run/run-session.ts",
  "src/examples/word-count/demo.ts",
  "src/nats/connection/connect.ts",
  "src/nats/publisher/acked-publisher.ts",
  "src/nats/publisher/sink-marker.ts",
  "src/nats/reader/progress.ts",
  "src/nats/reader/ephemeral-consumer.ts",
  "src/nats/server/server-guardian.ts",
  "src/nats/server/server.ts",
  "src/nats/storage/object-bucket.ts",
];

const tree = readTree();
const code = only(tree, /^(src|machines)\/.*\.ts$/);

describe("the tree keeps the rules", () => {
  test("imports follow the table", () => expect(forbiddenImports(code)).toEqual([]));
  test("no cycle of imports between rooms", () => expect(roomCycles(code)).toEqual([]));
  test(`no file of code has more than ${FILE_LINES_MAX} lines`, () => expect(longFiles(code)).toEqual([]));
  test(`no comment is wider than ${COMMENT_COLUMNS_MAX} columns`, () =>
    expect(wideComments(only(tree, /\.ts$/))).toEqual([]));
  test(`no folder has more than ${FOLDER_FILES_MAX} files`, () => expect(wideFolders(tree)).toEqual([]));
  test("no file is named after nothing", () => expect(emptyNames(only(tree, /\.ts$/))).toEqual([]));
  test("no timer that fires at once when it is long", () => expect(shortTimers(code)).toEqual([]));
  test("time, turns and chance come from outside where jobs run", () => expect(ownTime(code)).toEqual([]));
  test("no reminders in code", () => expect(reminders(only(tree, /\.ts$/))).toEqual([]));
  test("no path of a machine, no host of a registry", () => expect(privatePlaces(tree)).toEqual([]));
  test("packages are pinned and install without scripts", () => expect(loosePackages(tree)).toEqual([]));
});

describe("each rule fires", () => {
  const spoiled = (file: string, text: string): Tree => new Map([[file, text]]);

  test.each([
    ["src/runtime/a.ts", 'import { NatsBus } from "../nats/bus.ts";', "src/nats/bus.ts"],
    ["src/runtime/a.ts", 'export { x } from "../memory/bus.ts";', "src/memory/bus.ts"],
    ["src/dataflow/a.ts", 'import {\n  b,\n} from "../job/graph.ts";', "src/job/graph.ts"],
    ["src/dataflow/a.ts", 'import { b } from "../../machines/protocol.ts";', "machines/protocol.ts"],
    ["src/dataflow/a.ts", 'import { type A, b } from "../../machines/protocol.ts";', "machines/protocol.ts"],
    ["src/connectors/file-sink.ts", 'import type { A } from "../nats/bus.ts";', "src/nats/bus.ts"],
    ["src/control/a.ts", 'import "@nats-io/jetstream";', "@nats-io/jetstream"],
    ["src/state/a.ts", 'const a = await import("lmdb");', "lmdb"],
    ["machines/a.ts", 'import { readFileSync } from "node:fs";', "node:fs"],
  ])("import table: %s: %j", (file, text, target) => {
    expect(forbiddenImports(spoiled(file, text))).toEqual([expect.stringContaining(`imports ${target}`)]);
  });

  test.each([
    ["src/dataflow/a.ts", 'import type { A } from "../../machines/protocol.ts";'],
    ["src/dataflow/a.ts", 'import { type A, type B } from "../../machines/protocol.ts";'],
    ["src/dataflow/a.ts", '/**\n * import { a } from "../nats/bus.ts";\n */\n// import "xstate";'],
    ["src/connectors/kv/sink.ts", 'import { NatsLink } from "../../nats/link.ts";'],
  ])("import table: not for %s: %j", (file, text) => {
    expect(forbiddenImports(spoiled(file, text))).toEqual([]);
  });

  test("import table: a room that it does not know", () => {
    expect(forbiddenImports(spoiled("src/new-room/a.ts", ""))).toHaveLength(1);
  });

  test("cycles", () => {
    const cyclic = new Map([
      ["src/a/1.ts", 'import { x } from "../b/1.ts";'],
      ["src/b/1.ts", 'import { x } from "../c/1.ts";'],
      ["src/c/1.ts", 'import { x } from "../c/2.ts";'],
      ["src/c/2.ts", 'import type { x } from "../b/2.ts";'],
      ["src/b/2.ts", ""],
    ]);
    expect(roomCycles(cyclic)).toEqual([
      "src/b -> src/c -> src/b (src/b/1.ts:1, src/c/2.ts:1): move what both need into one of them",
    ]);
  });

  test("long files", () => {
    expect(longFiles(spoiled("src/a.ts", "\n".repeat(FILE_LINES_MAX + 1)))).toHaveLength(1);
  });

  test.each([
    [" * {} is wide.", 1],
    ["  // {} is wide.", 1],
    ["/** {} is wide. */", 1],
    [" * `{}`", 0],
    ['  const text = "{} is wide";', 0],
  ])("wide comments: %s", (text, count) => {
    const line = text.replace("{}", "x".repeat(COMMENT_COLUMNS_MAX));
    expect(wideComments(spoiled("src/a.ts", line))).toHaveLength(count);
  });

  test("wide folders", () => {
    const files = Array.from({ length: FOLDER_FILES_MAX + 1 }, (_, i) => [`src/state/${i}.ts`, ""] as const);
    expect(wideFolders(new Map(files))).toEqual([expect.stringContaining("src/state: 13 files")]);
    expect(wideFolders(new Map(files.slice(1)))).toEqual([]);
  });

  test.each(["src/utils.ts", "test/common/a.ts", "src/state/lock-manager.ts"])("names: %s", (file) => {
    expect(emptyNames(spoiled(file, ""))).toHaveLength(1);
  });

  test.each([
    "setTimeout(run, options.timeoutMs);",
    "setInterval(run, everyMs);",
    "AbortSignal.timeout(timeoutMs);",
    'import { setTimeout as sleep } from "node:timers/promises";',
  ])("timers: %s", (text) => {
    expect(shortTimers(spoiled("src/runtime/a.ts", text))).toHaveLength(1);
  });

  test.each([
    ["src/runtime/a.ts", "const startedMs = performance.now();"],
    ["src/runtime/worker/a.ts", "setImmediate(turn);"],
    ["src/runtime/worker/a.ts", "await new Promise(setImmediate);"],
    ["src/control/a.ts", "queueMicrotask(run);"],
    ["src/control/a.ts", "process.nextTick(run);"],
    ["src/control/a.ts", "const at = new Date().toISOString();"],
    ["src/dataflow/a.ts", "record.atMs = Date.now();"],
    ["src/dataflow/a.ts", "const share = Math.random();"],
    ["src/runtime/a.ts", 'import { randomUUID } from "node:crypto";'],
    ["src/runtime/a.ts", 'import { pause } from "../timer.ts";'],
    ["src/runtime/a.ts", 'import { systemClock } from "../clock.ts";'],
  ])("time, turns and chance: %s: %s", (file, text) => {
    expect(ownTime(spoiled(file, text))).toHaveLength(1);
  });

  test.each([
    ["src/dataflow/a.ts", "return value instanceof Date;"],
    ["src/runtime/a.ts", "const startedMs = clock.elapsedMs();"],
    ["src/cli/a.ts", "const startedMs = performance.now();"],
  ])("time, turns and chance: not for %s: %s", (file, text) => {
    expect(ownTime(spoiled(file, text))).toEqual([]);
  });

  test("reminders", () => {
    expect(reminders(spoiled("src/a.ts", `\n// ${"TO"}${"DO"}: later`))).toEqual([
      expect.stringContaining("src/a.ts:2"),
    ]);
  });

  test.each([
    ["/", "work/x/a.ts"].join(""),
    ["/home/", "somebody/a"].join(""),
    ["https://regis", "try.example.org/"].join(""),
    ["//host/:_auth", "Token=x"].join(""),
  ])("private places: %s", (text) => {
    expect(privatePlaces(spoiled("README.md", text))).toHaveLength(1);
  });

  test("packages", () => {
    const manifest = { scripts: { postinstall: "x" }, dependencies: { a: "^1.0.0", b: "1.0.0" } };
    const lock = { packages: { "node_modules/a": { resolved: "https://host/a.tgz" } } };
    const loose = new Map([
      ["package.json", JSON.stringify(manifest)],
      ["package-lock.json", JSON.stringify(lock)],
    ]);
    expect(loosePackages(loose)).toHaveLength(3);
  });
});

function forbiddenImports(files: Tree): string[] {
  return [...files].flatMap(([file, text]) => {
    const rule = RULES.find((candidate) => candidate.files.test(file));
    if (!rule) return [`${file}: no rule for this room: add one to RULES in test/layout.test.ts`];
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

function roomCycles(files: Tree): string[] {
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

function longFiles(files: Tree): string[] {
  return [...files].flatMap(([file, text]) => {
    const lines = text.split("\n").length - 1;
    return lines > FILE_LINES_MAX
      ? [`${file}: ${lines} lines, at most ${FILE_LINES_MAX}: split it by concept`]
      : [];
  });
}

function wideComments(files: Tree): string[] {
  return [...files].flatMap(([file, text]) =>
    text.split("\n").flatMap((line, i) => {
      const words = /^\s*(?:\/?\*+|\/\/)\s*(.*?)(?:\s*\*\/)?$/.exec(line)?.[1];
      const isWide = line.length > COMMENT_COLUMNS_MAX && words?.includes(" ");
      return isWide ? [`${file}:${i + 1}: a comment of ${line.length} columns: break the line`] : [];
    }),
  );
}

function wideFolders(files: Tree): string[] {
  const counts = new Map<string, number>();
  for (const folder of [...only(files, /^(src|machines|test|docs|docker)\//).keys()].map(dirname))
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  return [...counts]
    .filter(([folder, count]) => count > FOLDER_FILES_MAX && !folder.endsWith("/traces"))
    .map(([folder, count]) => `${folder}: ${count} files, at most ${FOLDER_FILES_MAX}: split it by concept`);
}

function emptyNames(files: Tree): string[] {
  const empty = /(^|[/-])(utils?|common|helpers?|managers?|misc)([/.-]|$)/;
  return [...files.keys()]
    .filter((file) => empty.test(file))
    .map(
      (file) =>
        `${file}: name it (${basename(file)}) after what it does, or move its content to where it belongs`,
    );
}

function shortTimers(files: Tree): string[] {
  const others = new Map([...files].filter(([file]) => !OWN_TIMERS.includes(file)));
  const found = linesWith(
    others,
    /\b(setTimeout|setInterval)\(|\bAbortSignal\.timeout\(|"(node:)?timers\/promises"/,
    "use src/timer.ts or the clock: a duration that a user can configure may be longer than 2^31-1 ms",
  );
  if (files !== code) return found;
  return [
    ...found,
    ...OWN_TIMERS.filter((file) => !/\b(setTimeout|setInterval)\b/.test(files.get(file) ?? "")).map(
      (file) => `${file}: has no timer of its own: remove it from OWN_TIMERS in test/layout.test.ts`,
    ),
  ];
}

function ownTime(files: Tree): string[] {
  return linesWith(
    only(files, /^src\/(runtime|control|dataflow)\//),
    new RegExp(
      [
        /\bperformance\.|\bDate\.now\b|\bnew Date\b|\bMath\.random\b|\bhrtime\b/,
        /\bset(Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bnextTick\b/,
        /\brandom(UUID|Bytes|Int)\b|\bgetRandomValues\b|\/timer\.ts"|\bsystemClock\b/,
      ]
        .map(({ source }) => source)
        .join("|"),
    ),
    "take it from the clock, or from newId, that this process was given (P60)",
  );
}

function reminders(files: Tree): string[] {
  return linesWith(files, /\b(TO(?:DO)|FIX(?:ME)|X(?:XX))\b/, "do it, or write down why not");
}

function privatePlaces(files: Tree): string[] {
  const text = only(files, /^(?!.*\.(png|ico|woff2)$)/);
  return [
    ...linesWith(
      text,
      /(?<![\w.*])\/(?:work|root|Users\/\w+|home\/(?!node\b)\w+)\//,
      "make the path relative or configurable",
    ),
    ...linesWith(
      text,
      /\bregistry\.[\w-]+\.\w|_auth(?:Token)/,
      "leave the registry to the user's own npm configuration",
    ),
  ];
}

function linesWith(files: Tree, pattern: RegExp, what: string): string[] {
  return [...files].flatMap(([file, text]) =>
    text.split("\n").flatMap((line, i) => {
      const found = pattern.exec(line);
      return found ? [`${file}:${i + 1}: "${found[0]}": ${what}`] : [];
    }),
  );
}

function loosePackages(files: Tree): string[] {
  const manifest = JSON.parse(files.get("package.json")!);
  const lock = JSON.parse(files.get("package-lock.json")!);
  const versions: [string, string][] = Object.entries({
    ...manifest.dependencies,
    ...manifest.devDependencies,
  });
  const loose = versions.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version));
  const onInstall = ["preinstall", "install", "postinstall", "prepare"].filter(
    (name) => manifest.scripts?.[name],
  );
  const hosted = Object.entries<{ resolved?: string }>(lock.packages).filter(([, { resolved }]) =>
    resolved?.includes(":"),
  );
  return [
    ...loose.map(([name, version]) => `package.json: ${name} ${version}: pin one exact version`),
    ...onInstall.map(
      (name) => `package.json: script ${name}: what we ship installs without running anything`,
    ),
    ...hosted.map(
      ([path]) => `package-lock.json: ${path} names a host: install with the .npmrc of the repository`,
    ),
  ];
}

function readTree(): Tree {
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

function only(files: Tree, pattern: RegExp): Tree {
  return new Map([...files].filter(([file]) => pattern.test(file)));
}
