/**
 * What a value is, in words: for messages that refuse it. Never throws, whatever the value does when it is looked at.
 */

/**
 * "undefined", "the number 7", "a promise", "a Map", "an object of class Money", … Texts are shown, at most 40
 * characters.
 */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 37)}...` : value)}`;
    case "number":
      return Object.is(value, -0) ? "-0" : `the number ${value}`;
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
    if (isThenable(value)) return "a promise";
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
