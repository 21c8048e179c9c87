/**
 * `npm run diagrams`: draws every machine into `machines/diagrams/<file>.svg` and into the marked blocks of
 * `machines/README.md`. Run from the repository's root, as compiled code.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { type Discovered, discoverMachines } from "../machines/discover.ts";
import { describeMachine } from "./describe.ts";
import { toMermaid } from "./mermaid.ts";
import { toSvg } from "./svg.ts";

const README = "machines/README.md";

/** File by file, what `npm run diagrams` would write now. */
export async function drawAll(): Promise<Map<string, string>> {
  const machines = await discoverMachines();
  const files = new Map<string, string>();
  for (const discovered of machines) {
    files.set(
      `machines/diagrams/${nameOf(discovered)}.svg`,
      await toSvg(describeMachine(discovered.machine)),
    );
  }
  const readme = existsSync(README) ? readFileSync(README, "utf8") : "# Machines\n";
  files.set(README, machines.reduce(withDiagram, readme));
  return files;
}

/** Replaces the text between the machine's markers; a machine without markers gets a section at the end. */
function withDiagram(readme: string, discovered: Discovered): string {
  const name = nameOf(discovered);
  const begin = `<!-- diagram ${name} -->`;
  const end = `<!-- end of diagram ${name} -->`;
  const mermaid = toMermaid(describeMachine(discovered.machine));
  const block = `${begin}\n[drawing](diagrams/${name}.svg)\n\n\`\`\`mermaid\n${mermaid}\`\`\`\n${end}`;
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end);
  if (from < 0 || to < from) return `${readme.trimEnd()}\n\n## ${name}\n\n${block}\n`;
  return `${readme.slice(0, from)}${block}${readme.slice(to + end.length)}`;
}

function nameOf({ machine }: Discovered): string {
  return machine.id;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  mkdirSync("machines/diagrams", { recursive: true });
  for (const [file, text] of await drawAll()) {
    writeFileSync(file, text);
    process.stdout.write(`${file}\n`);
  }
}
