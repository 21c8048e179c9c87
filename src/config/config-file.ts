/** A config file: YAML with our keys or Flink's, flat ("a.b: 1") or nested, as entries that know their line. */
import { readFileSync } from "node:fs";
import { type Document, isAlias, isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import { ConfigurationError, describeError } from "../errors.ts";
import type { Entry } from "./layers.ts";

/** @throws ConfigurationError naming the file, and the line where it is known */
export function readConfigFile(path: string): Entry[] {
  return entriesOf(textOf(path), path);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why =
      code === "ENOENT" ? "no such file" : code === "EISDIR" ? "is a directory" : describeError(cause);
    throw new ConfigurationError("config-file", `config file ${path}: ${why}`, { cause });
  }
}

function entriesOf(text: string, path: string): Entry[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineOf = (node: Node | null | undefined) => lines.linePos(node?.range?.[0] ?? 0).line;
  const [broken] = document.errors;
  if (broken !== undefined) {
    const { line } = lines.linePos(broken.pos[0]);
    throw new ConfigurationError("config-file", `config file ${path}:${line}: not YAML: ${broken.message}`);
  }
  const entries: Entry[] = [];
  const walk = (node: Node | null, prefix: string, line: number): void => {
    if (isMap<Node, Node | null>(node)) {
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? String(key.value) : String(key);
        walk(value, prefix === "" ? name : `${prefix}.${name}`, lineOf(key));
      }
      return;
    }
    const place = `${path}:${line}`;
    entries.push({
      spelling: prefix,
      value: scalarOf(node, document),
      origin: { layer: "config file", place },
    });
  };
  const { contents } = document;
  // Nothing but comments is a file, too.
  if (contents === null || (isScalar(contents) && contents.value === null)) return [];
  if (!isMap(contents))
    throw new ConfigurationError(
      "config-file",
      `config file ${path}:${lineOf(contents)}: must hold options as "key: value", and does not`,
    );
  walk(contents, "", 1);
  return entries;
}

/** No option takes more than a scalar: of a list or an aliased map only the kind matters, for the message. */
function scalarOf(node: Node | null, document: Document): unknown {
  const found = isAlias(node) ? node.resolve(document) : node;
  if (found === null || found === undefined) return null;
  if (isScalar(found)) return found.value;
  return isMap(found) ? {} : [];
}
