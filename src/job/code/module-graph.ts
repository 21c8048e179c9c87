/**
 * Which module has asked for which, as Node and jiti have resolved it.
 *
 * Owns: seeing imports while a job file is loaded. Does not own: what of it counts (project-code.ts).
 *
 * Imports of ES modules are seen by a hook, because Node keeps no public list of them. Everything else (CommonJS, JSON,
 * and what jiti has compiled) is in `require.cache`.
 */
import Module, { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";

const require = createRequire(import.meta.url);
const jitiPackage = join(dirname(require.resolve("jiti")), "..") + sep;
/** What jiti leaves to Node is imported by this module. */
const jitiEntry = join(jitiPackage, "lib", "jiti.mjs");

/** Paths of what each ES module has imported, by its own path. */
const imported = new Map<string, Set<string>>();

interface Resolved {
  readonly url: string;
}

type Resolve = (specifier: string, context: object) => Resolved;

/** The hooks that Node has since 22.15. They run in this thread and can be taken back. */
type RegisterHooks = (hooks: {
  resolve(specifier: string, context: { readonly parentURL?: string }, next: Resolve): Resolved;
}) => { deregister(): void };

/** The hooks for Node 20, where they run in a thread of their own. */
const HOOK_MODULE = `
  let port;
  export function initialize(data) {
    port = data.port;
  }
  export async function resolve(specifier, context, next) {
    const found = await next(specifier, context);
    port.postMessage([context.parentURL, found.url]);
    return found;
  }
`;

/** @returns ends it; to be called when everything has been imported */
export function observeImports(): () => void {
  // Those of another job file.
  imported.delete(jitiEntry);
  const { registerHooks } = Module as unknown as { readonly registerHooks?: RegisterHooks };
  if (registerHooks !== undefined) {
    const hooks = registerHooks({
      resolve(specifier, context, next) {
        const found = next(specifier, context);
        note(context.parentURL, found.url);
        return found;
      },
    });
    return () => hooks.deregister();
  }
  const { port1: ours, port2: theirs } = new MessageChannel();
  Module.register(`data:text/javascript,${encodeURIComponent(HOOK_MODULE)}`, {
    data: { port: theirs },
    transferList: [theirs],
  });
  return () => {
    // Each was sent before Node had the answer, so all are here.
    for (;;) {
      const received = receiveMessageOnPort(ours) as { readonly message: [string?, string?] } | undefined;
      if (received === undefined) break;
      note(...received.message);
    }
    ours.close();
  };
}

function note(importer: string | undefined, url: string | undefined): void {
  if (importer?.startsWith("file:") && url?.startsWith("file:"))
    add(imported, fileURLToPath(importer), fileURLToPath(url));
}

/** Paths of what each module has asked for, by its own path. What jiti has asked Node for is under `jobFile`. */
export function moduleGraph(jobFile: string): ReadonlyMap<string, ReadonlySet<string>> {
  const graph = new Map([...imported].map(([importer, paths]) => [importer, new Set(paths)]));
  for (const module of Object.values(require.cache)) {
    // Node keeps others there too, which are no whole modules.
    const { filename, parent, children } = (module ?? {}) as Partial<NodeJS.Module>;
    if (!filename) continue;
    if (parent?.filename) add(graph, parent.filename, filename);
    for (const child of children ?? []) if (child.filename) add(graph, filename, child.filename);
  }
  for (const path of graph.get(jitiEntry) ?? []) if (!path.startsWith(jitiPackage)) add(graph, jobFile, path);
  graph.delete(jitiEntry);
  return graph;
}

function add(graph: Map<string, Set<string>>, importer: string, path: string): void {
  const paths = graph.get(importer);
  if (paths === undefined) graph.set(importer, new Set([path]));
  else paths.add(path);
}
