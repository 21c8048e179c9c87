/**
 * A machine as Mermaid text (`stateDiagram-v2`), which code hosts draw by themselves. Shows effects, not changes of
 * context; the SVG (svg.ts) shows everything.
 */
import type { DiagramState, TransitionLabel } from "./describe.ts";

export function toMermaid(machine: DiagramState): string {
  const lines = ["stateDiagram-v2", "  direction TB"];
  lines.push(...inside(machine, "  "), ...edgesOf(machine).map((edge) => `  ${edge}`));
  return `${lines.join("\n")}\n`;
}

function stateLines(state: DiagramState, pad: string): string[] {
  const opening = `${pad}state ${quoted(state.name)} as ${idOf(state.id)}`;
  if (state.children.length > 0) return [`${opening} {`, ...inside(state, `${pad}  `), `${pad}}`];
  return [opening, ...notes(state).map((note) => `${pad}${idOf(state.id)} : ${note}`)];
}

function inside(state: DiagramState, pad: string): string[] {
  const initial = state.initial === undefined ? [] : [`${pad}[*] --> ${idOf(state.initial)}`];
  const regions = state.children.map((child) => stateLines(child, pad));
  const separated =
    state.type === "parallel"
      ? regions.flatMap((region, i) => (i ? [`${pad}--`, ...region] : region))
      : regions.flat();
  return [...initial, ...separated, ...everywhere(state, pad)];
}

/** Mermaid cannot write into the box of a compound state; what holds in all of it gets a box of its own. */
function everywhere(state: DiagramState, pad: string): string[] {
  const said = notes(state);
  if (said.length === 0 || state.type === "parallel") return [];
  const id = `${idOf(state.id)}_everywhere`;
  return [`${pad}state "in any of these" as ${id}`, ...said.map((note) => `${pad}${id} : ${note}`)];
}

function notes({ entry, exit, staying }: DiagramState): string[] {
  return [
    ...entry.filter(({ effect }) => effect).map(({ name }) => `entry / ${name}`),
    ...exit.filter(({ effect }) => effect).map(({ name }) => `exit / ${name}`),
    ...staying.map(labelText),
  ].map(escaped);
}

function edgesOf(state: DiagramState): string[] {
  const own = state.leaving.map(({ from, to, labels }) => {
    const text = labels.map((label) => escaped(labelText(label))).join("<br/>");
    return `${idOf(from)} --> ${idOf(to)}${text === "" ? "" : ` : ${text}`}`;
  });
  const ends = state.type === "final" ? [`${idOf(state.id)} --> [*]`] : [];
  return [...own, ...ends, ...state.children.flatMap(edgesOf)];
}

function labelText({ event, guard, actions, to }: TransitionLabel): string {
  const effects = actions.filter(({ effect }) => effect).map(({ name }) => name);
  const parts = [
    event,
    guard && `[${guard}]`,
    to && `to ${to}`,
    effects.length > 0 && `/ ${effects.join(", ")}`,
  ];
  return parts.filter(Boolean).join(" ");
}

function idOf(id: string): string {
  return id.replace(/[^A-Za-z0-9]/g, "_");
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', "'")}"`;
}

/** A colon would end the label's head, a semicolon the statement. */
function escaped(text: string): string {
  return text.replace(/[:;]/g, (character) => `#${character.charCodeAt(0)};`);
}
