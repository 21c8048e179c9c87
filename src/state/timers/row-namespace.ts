/**
 * The namespace of a timer's row: its time, and its own namespace if it has one. Part of the format of stored state.
 *
 * The time alone is a number. With a namespace it is a text: the time, a letter for the namespace's type, the
 * namespace: `1700000000000 s:name`, `1700000000000 n:5`.
 */
import type { Namespace } from "../contract.ts";

export function rowNamespaceOf(time: number, namespace: Namespace): string | number {
  if (namespace === undefined) return time;
  return `${time} ${typeof namespace === "number" ? "n" : "s"}:${namespace}`;
}

export function timerIn(rowNamespace: Namespace): { readonly time: number; readonly namespace: Namespace } {
  if (typeof rowNamespace === "number") return { time: rowNamespace, namespace: undefined };
  const text = rowNamespace as string;
  const end = text.indexOf(" ");
  const name = text.slice(end + 3);
  return { time: Number(text.slice(0, end)), namespace: text[end + 1] === "n" ? Number(name) : name };
}
