/** Hot keys, as `status` shows them: one line for each subtask that has some. */
import type { HotKeyReport } from "../../control/hot-keys.ts";
import type { SubtaskReport } from "../../control/messages.ts";

export function hotKeyLines(
  job: string,
  subtasks: readonly Pick<SubtaskReport, "subtask" | "hotKeys">[],
): string[] {
  return subtasks.flatMap(({ subtask, hotKeys }) => {
    if (hotKeys === undefined) return [];
    const { keys, mayCombine } = hotKeys;
    const operator = subtask.slice(0, subtask.lastIndexOf("/"));
    const advice = [
      ...(mayCombine ? [`give ${operator} { combine: true }, and they are joined before they are sent`] : []),
      ...(keys.some(({ key }) => key === undefined)
        ? [`"tidemark status ${job} --keys" shows ${keys.length === 1 ? "it" : "them"}`]
        : []),
    ];
    const shown = keys.map(describe).join(", ");
    return [`hot keys     ${[`${subtask}: ${shown} of its latest records`, ...advice].join("; ")}`];
  });
}

/** "34 % have key "alice" of key group 17" */
function describe({ key, keyGroup, perMille }: HotKeyReport): string {
  const named = key === undefined ? "one key" : `key ${key}`;
  return `${Math.round(perMille / 10)} % ${named} of key group ${keyGroup}`;
}
