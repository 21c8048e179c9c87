/** Every way in which one field of a value can be wrong. */

type Path = readonly (string | number)[];

/** Paths of all that holds no further fields. */
export function leavesOf(value: unknown, path: Path = []): Path[] {
  const isInner = typeof value === "object" && value !== null && !(value instanceof Uint8Array);
  if (!isInner) return [path];
  return Object.entries(value).flatMap(([key, inner]) =>
    leavesOf(inner, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

export function at(value: unknown, path: Path): unknown {
  return path.reduce((inner, key) => (inner as Record<string | number, unknown>)[key], value);
}

/** A copy with another value in one place. */
export function changed<T>(value: T, path: Path, to: unknown): T {
  const [key, ...rest] = path;
  if (key === undefined) return to as T;
  const copy = Array.isArray(value) ? [...(value as unknown[])] : { ...value };
  const inner = copy as Record<string | number, unknown>;
  inner[key] = changed(inner[key], rest, to);
  return copy as T;
}
