/** What operators have counted, as `status` shows it: one line for each operator, over all of its subtasks. */
import type { SubtaskReport } from "../../control/messages.ts";
import { count } from "./text.ts";

export function figureLines(subtasks: readonly Pick<SubtaskReport, "operators">[]): string[] {
  const sums = new Map<string, Map<string, number>>();
  for (const { operator, figures } of subtasks.flatMap(({ operators }) => operators)) {
    const ofOperator = sums.get(operator) ?? new Map<string, number>();
    sums.set(operator, ofOperator);
    for (const [name, value] of Object.entries(figures))
      ofOperator.set(name, (ofOperator.get(name) ?? 0) + value);
  }
  const counting = [...sums].filter(([, figures]) => figures.size > 0);
  return counting.map(([operator, figures]) => {
    const shown = [...figures].map(([name, value]) => `${inWords(name)} ${count(value)}`);
    return `figures      ${operator}: ${shown.join(", ")}`;
  });
}

/** `partlyLate`: "partly late". */
const inWords = (name: string) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
