/**
 * A machine as SVG, laid out by elkjs in plain Node.
 *
 * Every state is a `<g class="state" data-id="...">`: a page shows a running machine by giving the class `active` to
 * some of them; the layout is never done again. Transitions that stay in a state are written into its box.
 */
import ELK, { type ElkEdgeSection, type ElkExtendedEdge, type ElkNode } from "elkjs/lib/elk.bundled.js";
import type { ActionLabel, DiagramEdge, DiagramState, TransitionLabel } from "./describe.ts";

interface Line {
  readonly text: string;
  readonly style: "name" | "event" | "effect" | "change";
}

/** The width of a character of the monospaced font at 11 px, with room to spare for a substitute. */
const CHARACTER_WIDTH = 6.8;
const LINE_HEIGHT = 15;
const BOX_PADDING = 10;
const DOT = 10;
const MARGIN = 12;

const STYLE = `
text{font:11px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#1f2937}
.state>rect{fill:#fff;stroke:#64748b}
.state.compound>rect,.state.parallel>rect{fill:#f8fafc}
.state.parallel>rect{stroke-dasharray:5 3}
.state.final>rect{stroke-width:3}
.state.active>rect{fill:#dcfce7;stroke:#15803d;stroke-width:2}
.name{font-weight:700}
.effect{fill:#9a3412}
.change{fill:#6b7280;font-style:italic}
.edge{fill:none;stroke:#64748b}
.label{fill:#fff;fill-opacity:.9}
.initial,.arrow{fill:#1f2937}
@media (prefers-color-scheme:dark){
svg{background:#0d1117}
text{fill:#e6edf3}
.state>rect{fill:#161b22;stroke:#8b949e}
.state.compound>rect,.state.parallel>rect{fill:#0d1117}
.state.active>rect{fill:#033a16;stroke:#3fb950}
.effect{fill:#ffa657}
.change{fill:#9da7b3}
.edge{stroke:#8b949e}
.label{fill:#0d1117}
.initial,.arrow{fill:#e6edf3}
}
`.replaceAll("\n", "");

/** Every compound state needs them: ELK inherits none of these. */
const LAYOUT = {
  "elk.algorithm": "layered",
  "elk.direction": "DOWN",
  "elk.hierarchyHandling": "INCLUDE_CHILDREN",
  "elk.edgeRouting": "ORTHOGONAL",
  "elk.json.edgeCoords": "ROOT",
  // The story runs downwards: edges that go back are those back to a state already passed.
  "elk.layered.cycleBreaking.strategy": "DEPTH_FIRST",
  "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
  "elk.layered.spacing.nodeNodeBetweenLayers": "30",
  "elk.layered.spacing.edgeNodeBetweenLayers": "14",
  "elk.spacing.nodeNode": "30",
  "elk.spacing.edgeNode": "16",
  "elk.spacing.edgeEdge": "12",
  "elk.spacing.edgeLabel": "4",
};

/** How to read the names, below every drawing. */
const LEGEND: readonly Line[] = [
  { text: "event [guard] → state: a transition, also one to a state that no arrow leads to", style: "event" },
  { text: "! effect: an order to the host", style: "effect" },
  { text: "= change of what the machine remembers", style: "change" },
  { text: "thick border: final; dashed border: its states hold side by side", style: "event" },
];

/** @param parts the machine, or parts of it, which are drawn below each other */
export async function toSvg(parts: readonly DiagramState[]): Promise<string> {
  const drawings: Drawn[] = [];
  for (const [i, part] of parts.entries()) {
    const drawing = new Drawing(part, i);
    drawings.push(drawing.draw(await new ELK.default().layout(drawing.graph())));
  }
  return stacked(parts[0]!.id, drawings);
}

interface Drawn {
  readonly width: number;
  readonly height: number;
  readonly lines: readonly string[];
}

function stacked(name: string, drawings: readonly Drawn[]): string {
  const legend = sizeOf(LEGEND);
  const width = Math.ceil(Math.max(legend.width, ...drawings.map((drawn) => drawn.width)) + MARGIN);
  const lines: string[] = [];
  let top = 0;
  for (const drawn of drawings) {
    lines.push(`<g transform="translate(0,${top})">`, ...drawn.lines, "</g>");
    top += Math.ceil(drawn.height + MARGIN);
  }
  const height = Math.ceil(top + legend.height + MARGIN);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<title>${escaped(name)}</title>`,
    `<style>${STYLE}</style>`,
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0,0L8,4L0,8z" class="arrow"/></marker></defs>',
    ...lines,
    `<g class="legend">${textLines(LEGEND, MARGIN, top + LINE_HEIGHT)}</g>`,
    "</svg>\n",
  ].join("\n");
}

class Drawing {
  private readonly machine: DiagramState;
  private readonly states = new Map<string, DiagramState>();
  private readonly edges: DiagramEdge[] = [];
  private readonly labels = new Map<string, readonly Line[]>();
  private readonly boxes: string[] = [];
  /** Drawn after the boxes, so that no box covers them. */
  private readonly connections: string[] = [];

  /** Its place among the parts. */
  private readonly part: number;

  constructor(machine: DiagramState, part: number) {
    this.machine = machine;
    this.part = part;
  }

  graph(): ElkNode {
    const root = this.node(this.machine);
    return {
      id: "drawing",
      layoutOptions: LAYOUT,
      children: [root],
      edges: this.edges.map((edge, i) => this.edge(edge, i)),
    };
  }

  draw(graph: ElkNode): Drawn {
    for (const node of graph.children ?? []) this.drawNode(node, 0, 0);
    for (const edge of graph.edges ?? []) this.drawEdge(edge);
    const { width = 0, height = 0 } = graph;
    return { width, height, lines: [...this.boxes, ...this.connections] };
  }

  private node(state: DiagramState): ElkNode {
    this.states.set(state.id, state);
    this.edges.push(...state.leaving);
    const { width, height } = sizeOf(boxLines(state));
    const box = { width: width + 2 * BOX_PADDING, height: height + BOX_PADDING };
    if (state.children.length === 0) return { id: state.id, ...box };
    return {
      id: state.id,
      children: [...this.initialDot(state), ...state.children.map((child) => this.node(child))],
      layoutOptions: {
        ...LAYOUT,
        "elk.padding": `[top=${box.height + 12},left=16,bottom=16,right=16]`,
        "elk.nodeSize.constraints": "MINIMUM_SIZE",
        "elk.nodeSize.minimum": `(${box.width},${box.height})`,
      },
    };
  }

  private initialDot({ id, initial }: DiagramState): ElkNode[] {
    if (initial === undefined) return [];
    this.edges.push({ from: `${id}#initial`, to: initial, labels: [] });
    return [{ id: `${id}#initial`, width: DOT, height: DOT }];
  }

  private edge({ from, to, labels }: DiagramEdge, index: number): ElkExtendedEdge {
    const id = `edge${this.part}.${index}`;
    const lines = labels.flatMap(transitionLines);
    this.labels.set(id, lines);
    const { width, height } = sizeOf(lines);
    return {
      id,
      sources: [from],
      targets: [to],
      labels: lines.length === 0 ? [] : [{ text: id, width: width + 6, height }],
      layoutOptions: { "elk.edgeLabels.inline": "true" },
    };
  }

  private drawNode(node: ElkNode, left: number, top: number): void {
    const x = left + (node.x ?? 0);
    const y = top + (node.y ?? 0);
    const state = this.states.get(node.id);
    if (state) this.drawState(state, x, y, node.width ?? 0, node.height ?? 0);
    else
      this.boxes.push(
        `<circle class="initial" cx="${round(x + DOT / 2)}" cy="${round(y + DOT / 2)}" r="${DOT / 2}"/>`,
      );
    for (const child of node.children ?? []) this.drawNode(child, x, y);
  }

  private drawState(state: DiagramState, x: number, y: number, width: number, height: number): void {
    const title = state.description === undefined ? "" : `<title>${escaped(state.description)}</title>`;
    const rect = `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" rx="6"/>`;
    const text = textLines(boxLines(state), x + BOX_PADDING, y + LINE_HEIGHT + 1);
    this.boxes.push(
      `<g class="state ${state.type}" data-id="${escaped(state.id)}">${title}${rect}${text}</g>`,
    );
  }

  private drawEdge(edge: ElkExtendedEdge): void {
    for (const section of edge.sections ?? []) {
      this.connections.push(`<path class="edge" marker-end="url(#arrow)" d="${pathOf(section)}"/>`);
    }
    for (const { x = 0, y = 0, width = 0, height = 0 } of edge.labels ?? []) {
      const rect = `<rect class="label" x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"/>`;
      this.connections.push(rect + textLines(this.labels.get(edge.id) ?? [], x + 3, y + 11));
    }
  }
}

function boxLines({ name, entry, exit, staying }: DiagramState): Line[] {
  return [
    { text: name, style: "name" },
    ...entry.map((action) => actionLine(action, "entry ")),
    ...exit.map((action) => actionLine(action, "exit ")),
    ...staying.flatMap(transitionLines),
  ];
}

function transitionLines({ event, guard, actions, to }: TransitionLabel): Line[] {
  const head = [event || (guard === undefined ? "" : "always"), guard && `[${guard}]`, to && `→ ${to}`]
    .filter(Boolean)
    .join(" ");
  return [
    ...(head === "" ? [] : [{ text: head, style: "event" } as const]),
    ...actions.map((action) => actionLine(action, "  ")),
  ];
}

function actionLine({ name, effect }: ActionLabel, before: string): Line {
  return { text: `${before}${effect ? "! " : "= "}${name}`, style: effect ? "effect" : "change" };
}

function sizeOf(lines: readonly Line[]): { width: number; height: number } {
  const longest = Math.max(0, ...lines.map(({ text }) => text.length));
  return { width: longest * CHARACTER_WIDTH, height: lines.length * LINE_HEIGHT };
}

function textLines(lines: readonly Line[], x: number, y: number): string {
  const line = ({ text, style }: Line, index: number) => {
    const indent = (text.length - text.trimStart().length) * CHARACTER_WIDTH;
    return `<text class="${style}" x="${round(x + indent)}" y="${round(y + index * LINE_HEIGHT)}">${escaped(text.trimStart())}</text>`;
  };
  return lines.map(line).join("");
}

function pathOf({ startPoint, bendPoints = [], endPoint }: ElkEdgeSection): string {
  const points = [startPoint, ...bendPoints, endPoint].map(({ x, y }) => `${round(x)},${round(y)}`);
  return `M${points.join("L")}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}

/** Ids of the active states of a machine's state value: those that get the class `active`. */
export function activeIds(value: unknown, prefix: string): string[] {
  if (typeof value === "string") return [prefix, `${prefix}.${value}`];
  const children = Object.entries(value as Readonly<Record<string, unknown>>);
  return [prefix, ...children.flatMap(([name, inner]) => activeIds(inner, `${prefix}.${name}`))];
}
