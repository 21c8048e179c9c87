/**
 * CommonJS of a job's own is strict code, as its ES modules and TypeScript are.
 *
 * In sloppy code an assignment to a frozen value does nothing and says nothing: `state.get().count++` would be lost
 * without a word. So what CommonJS the process loads from outside of node_modules is compiled behind "use strict";
 * packages stay as their authors have written them. Node's ES module loader and jiti both compile CommonJS by way of
 * `Module.prototype._compile`.
 */
import Module from "node:module";
import { sep } from "node:path";

type Compile = (this: unknown, source: string, file: string, ...more: unknown[]) => unknown;

const PACKAGES = `${sep}node_modules${sep}`;

let isOn = false;

/** Stays on for the life of the process: job files also load modules later, inside their functions. */
export function makeCommonJsStrict(): void {
  if (isOn) return;
  isOn = true;
  const prototype = Module.prototype as unknown as { _compile: Compile };
  const compile = prototype._compile;
  prototype._compile = function (source, file, ...more) {
    return compile.call(this, file.includes(PACKAGES) ? source : strict(source), file, ...more);
  };
}

/** Line numbers stay; a first line `#!` has to stay the first. */
function strict(source: string): string {
  const at = source.startsWith("#!") ? source.indexOf("\n") + 1 : 0;
  return `${source.slice(0, at)}"use strict";${source.slice(at)}`;
}
