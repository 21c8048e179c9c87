/**
 * The sessions of one key, as values: what a record does to them.
 *
 * Owns: which sessions a record joins (Flink's MergingWindowSet and TimeWindow.mergeWindows). Does not own: when they
 * fire, where they are stored (session-windows.ts).
 *
 * - JS1 The sessions of a key are in order and do not overlap, those that are closed included.
 * - JS2 A record belongs to the session in which it lies or whose end it touches, and joins those that the gap behind
 *   it reaches or touches, as long as none becomes longer than its longest duration. Where it does, the record begins
 *   a session of its own, which ends where the next one begins.
 * - JS3 A closed session takes nothing, and no session reaches into it: a record that would is late. (In Flink it
 *   opens another session over the same time.)
 */

/** Plain data. */
export interface Session {
  readonly start: number;
  readonly end: number;
  /** The longest gap of its records in ms. */
  readonly gap: number;
  /** "open": it will fire at its end; "fired": it stays for late records; "closed": it holds nothing any more. */
  readonly stage: "open" | "fired" | "closed";
  /** How often it has fired. */
  readonly firings: number;
  /** The operator looks at the key at this time or earlier (session-windows.ts). */
  readonly dueAt: number;
  /** What it holds; null: nothing. */
  readonly held: unknown;
}

/** What is asked of a session here. */
type Bounds = Pick<Session, "start" | "end"> & { readonly stage: string };

/** Where a record goes: into the sessions from `from` to `to`, without `to`, which become one. */
export interface Joining {
  readonly from: number;
  readonly to: number;
  readonly start: number;
  readonly end: number;
}

/** @returns undefined: it reaches into a closed session (JS3) */
export function join(
  sessions: readonly Bounds[],
  time: number,
  gap: number,
  longest: number,
): Joining | undefined {
  let from = 0;
  while (from < sessions.length && !isHome(sessions[from]!, time, longest)) {
    const { start, end, stage } = sessions[from]!;
    if (start > time) break;
    if (stage === "closed" && time < end) return undefined;
    from++;
  }
  const home = sessions[from];
  const joinsHome = home !== undefined && home.start <= time;
  const start = joinsHome ? home.start : time;
  let end = Math.min(time + gap, start + longest);
  if (joinsHome) end = Math.max(end, home.end);
  let to = joinsHome ? from + 1 : from;
  for (; to < sessions.length && sessions[to]!.start <= end; to++) {
    const next = sessions[to]!;
    const isClosed = next.stage === "closed";
    if (isClosed && !joinsHome && next.start < end) return undefined;
    if (isClosed || Math.max(end, next.end) - start > longest) {
      end = Math.min(end, next.start);
      break;
    }
    end = Math.max(end, next.end);
  }
  return { from, to, start, end };
}

/** The session takes a record of this time. */
function isHome({ start, end, stage }: Bounds, time: number, longest: number): boolean {
  return stage !== "closed" && start <= time && time <= end && time < start + longest;
}
