/**
 * What a value is, in words: for messages that refuse it. Never throws, whatever the value does when it is looked at.
 *
 * A promise that is described is refused, and is not left to end the process when it is rejected later.
 *
 * - DV1 What a record, a key or a value of state holds is never shown: messages end in logs, in the job's record and on
 *   terminals. Kinds, lengths, names of fields and of classes are. An error carries the key where no logger finds it,
 *   and only the test harness prints it.
 */

/**
 * A value that users' records may have brought: "undefined", "a number", "a text of 3 characters", "a promise", "a
 * Map", "an object of class Money", … Of numbers only those are shown that hold no data: NaN, the infinities, -0.
 */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `a text of ${value.length} character${value.length === 1 ? "" : "s"}`;
    case "number":
      if (Object.is(value, -0)) return "-0";
      return Number.isFinite(value) ? "a number" : `the number ${value}`;
    case "bigint":
      return "a bigint";
    case "boolean":
    case "undefined":
      return String(value);
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : describeObject(value);
  }
}

function describeObject(value: object): string {
  try {
    if (Object.getPrototypeOf(value) === Array.prototype) return "an array";
    if (isThenable(value)) {
      silence(value);
      return "a promise";
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype) return "an object";
    if (prototype === null) return "an object without prototype";
    const tag = Object.prototype.toString.call(value).slice("[object ".length, -1);
    if (tag === "Generator") return "a generator";
    if (tag === "AsyncGenerator") return "an async generator";
    if (tag.endsWith(" Iterator")) return "an iterator";
    const name: unknown = (prototype as { readonly constructor?: { readonly name?: unknown } }).constructor
      ?.name;
    if (typeof name !== "string" || name === "") return "an object of a class without name";
    const builtIn: unknown = (globalThis as Readonly<Record<string, unknown>>)[name];
    const known = (builtIn as { readonly prototype?: unknown } | undefined)?.prototype === prototype;
    if (!known) return `an object of class ${name}`;
    return `${/^[AEIOU](?!int)/.test(name) ? "an" : "a"} ${name}`;
  } catch {
    return "an object that cannot be looked at";
  }
}

const FIELDS_MAX = 12;
const FIELD_CHARS_MAX = 40;
const RECORD_CHARS_MAX = 400;

/** A record with its fields: "{ user: a text of 5 characters, paid: { amount: a number, at: a number } }". */
export function describeRecord(value: unknown): string {
  try {
    const text = describeFields(value, 2);
    return text.length <= RECORD_CHARS_MAX ? text : `${text.slice(0, RECORD_CHARS_MAX - 1)}…`;
  } catch {
    return describeValue(value);
  }
}

function describeFields(value: unknown, levels: number): string {
  const kind = describeValue(value);
  if (kind !== "an object" || levels === 0) return kind;
  const fields = Object.entries(Object.getOwnPropertyDescriptors(value as object));
  const shown = fields.slice(0, FIELDS_MAX).map(([name, { value: held, get }]) => {
    const called = name.length <= FIELD_CHARS_MAX ? name : `${name.slice(0, FIELD_CHARS_MAX - 1)}…`;
    return `${called}: ${get === undefined ? describeFields(held, levels - 1) : "a getter"}`;
  });
  if (fields.length > FIELDS_MAX) shown.push(`${fields.length - FIELDS_MAX} more`);
  return shown.length === 0 ? kind : `{ ${shown.join(", ")} }`;
}

/** The same for what a job file or the author of a connector has written there: texts and numbers are shown. */
export function describeOption(value: unknown): string {
  if (typeof value === "number" && !Object.is(value, -0)) return `the number ${value}`;
  if (typeof value !== "string") return describeValue(value);
  return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 37)}...` : value)}`;
}

/** Promises, and whatever else `await` would wait for. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as { readonly then?: unknown }).then === "function"
  );
}

/** A promise that is refused may be rejected later: that must not end the process, which already has its reason. */
export function silence(refused: unknown): void {
  if (refused instanceof Promise) refused.catch(() => {});
}
