/**
 * `npm run diagrams`: draws every machine into `machines/diagrams/<file>.svg` and into the marked blocks of
 * `machines/README.md`. Run from the repository's root, as compiled code.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { AnyStateMachine } from "xstate";
import { type Discovered, discoverMachines } from "../machines/discover.ts";
import { type DiagramState, describeMachine, partOf } from "./describe.ts";
import { toMermaid } from "./mermaid.ts";
import { toSvg } from "./svg.ts";
import { wiringToMermaid } from "./wiring.ts";

const README = "machines/README.md";

interface Part {
  readonly title: string;
  /** The state whose inner ones are drawn. Default: the machine itself. */
  readonly of?: string;
  readonly states: readonly string[];
}

/** Machines that are too wide for a page: which of their states are drawn together. */
const PARTS: Readonly<Record<string, readonly Part[]>> = {
  checkpointing: [
    { title: "at rest", states: ["stopped", "draining", "deposed"] },
    { title: "running", states: ["running"] },
  ],
  job: [
    {
      title: "life",
      states: ["claiming", "claimed", "recovering", "waiting", "deploying", "failing", "backingOff"],
    },
    { title: "run and stop", states: ["running"] },
    { title: "settle", states: ["settling", "resettling", "unsettled", "ending", "ended", "deposed"] },
  ],
  subtask: [
    { title: "life", states: ["restoring", "recommitting", "restored", "failed", "closed"] },
    { title: "input and stop", of: "running", states: ["input", "stop"] },
    { title: "snapshot", of: "running", states: ["snapshot"] },
    { title: "commit", of: "running", states: ["commit"] },
  ],
};

/** File by file, what `npm run diagrams` would write now. */
export async function drawAll(): Promise<Map<string, string>> {
  const machines = await discoverMachines();
  const files = new Map<string, string>();
  for (const discovered of machines) {
    files.set(`machines/diagrams/${nameOf(discovered)}.svg`, await toSvg(partsOf(discovered.machine)));
  }
  const readme = existsSync(README) ? readFileSync(README, "utf8") : "# Machines\n";
  files.set(README, withBlock(machines.reduce(withDiagram, readme), "wiring", fenced(wiringToMermaid())));
  return files;
}

/** @throws Error when a machine has a state that none of its parts names, or a part names one that there is not */
function partsOf(machine: AnyStateMachine): readonly DiagramState[] {
  const whole = describeMachine(machine);
  const parts = PARTS[machine.id];
  if (parts === undefined) return [whole];
  const named = parts.flatMap(({ of, states }) => (of === undefined ? states : [of]));
  const there = whole.children.map(({ name }) => name);
  if (sorted(named) !== sorted(there))
    throw new Error(
      `parts of ${machine.id} in draw.ts name ${sorted(named)}; its states are ${sorted(there)}`,
    );
  return parts.map((part) => {
    const owner = part.of === undefined ? whole : whole.children.find(({ name }) => name === part.of)!;
    const isFirst = parts.find(({ of }) => of === part.of) === part;
    return partOf(owner, part.title, part.states, isFirst);
  });
}

function sorted(names: readonly string[]): string {
  return [...new Set(names)].sort().join(", ");
}

function withDiagram(readme: string, discovered: Discovered): string {
  const name = nameOf(discovered);
  const drawing = `[drawing](diagrams/${name}.svg)\n\n`;
  return withBlock(readme, name, drawing + fenced(toMermaid(describeMachine(discovered.machine))));
}

const fenced = (mermaid: string): string => `\`\`\`mermaid\n${mermaid}\`\`\`\n`;

/** Replaces the text between the markers of that name; without markers it gets a section at the end. */
function withBlock(readme: string, name: string, content: string): string {
  const begin = `<!-- diagram ${name} -->`;
  const end = `<!-- end of diagram ${name} -->`;
  const block = `${begin}\n${content}${end}`;
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
