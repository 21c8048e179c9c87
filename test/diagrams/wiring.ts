/** Who tells whom, as a Mermaid flowchart: one arrow for all that one role says to another in one way. */
import { type Receiver, starts, tells, type Way, wires } from "../../machines/wiring.ts";

const ARROWS: Readonly<Record<Way | "tell", readonly [before: string, after: string]>> = {
  tell: ["--", "-->"],
  process: ["--", "-->"],
  later: ["--", "-->"],
  message: ["-.", ".->"],
  channel: ["==", "==>"],
};

export function wiringToMermaid(): string {
  const arrows = new Map<string, string[]>();
  const add = (from: string, to: Receiver, way: Way | "tell", events: readonly string[]) => {
    const key = JSON.stringify([from, to.split("/", 1)[0], ...ARROWS[way]]);
    arrows.set(key, [...(arrows.get(key) ?? []), ...events]);
  };
  for (const { from, role } of Object.values(starts)) add(from, role, "tell", ["(start)"]);
  for (const { from, to, events } of tells) add(from, to, "tell", events);
  for (const { from, to, event, way } of Object.values(wires))
    for (const receiver of to) add(from, receiver, way, [event]);
  const lines = [...arrows].map(([key, events]) => {
    const [from, to, before, after] = JSON.parse(key) as string[];
    return `  ${from} ${before} "${events.join("<br/>")}" ${after} ${to}`;
  });
  return `flowchart LR\n${lines.join("\n")}\n`;
}
