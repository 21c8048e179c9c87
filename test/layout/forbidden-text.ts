/** What may not be in a file: timers, time and chance of the platform, reminders, private places. */
import { only, type Tree } from "./tree.ts";

/** What uses the platform's timers: the one place for all, and files whose durations are constants of their own. */
const OWN_TIMERS: readonly string[] = [
  "src/timer.ts",
  "src/cli/run/children.ts",
  "src/cli/process/lifetime.ts",
  "src/cli/run/progress.ts",
  "src/cli/run/run-session.ts",
  "src/examples/word-count/demo.ts",
  "src/nats/connection/connect.ts",
  "src/nats/publisher/acked-publisher.ts",
  "src/nats/publisher/sink-marker.ts",
  "src/nats/reader/progress.ts",
  "src/nats/reader/ephemeral-consumer.ts",
  "src/nats/server/server-guardian.ts",
  "src/nats/server/server.ts",
  "src/nats/storage/object-bucket.ts",
];

export function shortTimers(files: Tree): string[] {
  const others = new Map([...files].filter(([file]) => !OWN_TIMERS.includes(file)));
  return linesWith(
    others,
    /\b(setTimeout|setInterval)\(|\bAbortSignal\.timeout\(|"(node:)?timers\/promises"/,
    "use src/timer.ts or the clock: a duration that a user can configure may be longer than 2^31-1 ms",
  );
}

/** Files that are allowed timers and have none any more. */
export function unusedTimers(files: Tree): string[] {
  return OWN_TIMERS.filter((file) => !/\b(setTimeout|setInterval)\b/.test(files.get(file) ?? "")).map(
    (file) => `${file}: has no timer of its own: remove it from OWN_TIMERS in test/layout/forbidden-text.ts`,
  );
}

export function ownTime(files: Tree): string[] {
  return linesWith(
    only(files, /^src\/(runtime|control|dataflow)\//),
    new RegExp(
      [
        /\bperformance\.|\bDate\.now\b|\bnew Date\b|\bMath\.random\b|\bhrtime\b/,
        /\bset(Timeout|Interval|Immediate)\b|\bqueueMicrotask\b|\bnextTick\b/,
        /\brandom(UUID|Bytes|Int)\b|\bgetRandomValues\b|\/timer\.ts"|\bsystemClock\b/,
      ]
        .map(({ source }) => source)
        .join("|"),
    ),
    "take it from the clock, or from newId, that this process was given (P60)",
  );
}

export function reminders(files: Tree): string[] {
  return linesWith(files, /\b(TO(?:DO)|FIX(?:ME)|X(?:XX))\b/, "do it, or write down why not");
}

export function privatePlaces(files: Tree): string[] {
  const text = only(files, /^(?!.*\.(png|ico|woff2)$)/);
  return [
    ...linesWith(
      text,
      /(?<![\w.*])\/(?:work|root|Users\/\w+|home\/(?!node\b)\w+)\//,
      "make the path relative or configurable",
    ),
    ...linesWith(
      text,
      /\bregistry\.[\w-]+\.\w|_auth(?:Token)/,
      "leave the registry to the user's own npm configuration",
    ),
  ];
}

function linesWith(files: Tree, pattern: RegExp, what: string): string[] {
  return [...files].flatMap(([file, text]) =>
    text.split("\n").flatMap((line, i) => {
      const found = pattern.exec(line);
      return found ? [`${file}:${i + 1}: "${found[0]}": ${what}`] : [];
    }),
  );
}
