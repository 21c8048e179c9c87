/** Versions of nats-server as numbers: "2.15.1", also with a prefix or a suffix ("v2.12.0-preview.1"). */

/** The part of `text` that is a version; undefined when it holds none. */
export function findVersion(text: string): string | undefined {
  return /\d+\.\d+\.\d+/.exec(text)?.[0];
}

/** A text without a version ("unknown") is never new enough. A preview counts as the version it previews. */
export function isAtLeast(version: string, minimum: string): boolean {
  const found = findVersion(version);
  if (found === undefined) return false;
  const parts = found.split(".").map(Number);
  for (const [index, wanted] of minimum.split(".").map(Number).entries()) {
    const part = parts[index] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}
