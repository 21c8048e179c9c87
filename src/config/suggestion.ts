/** "Did you mean": the known name that a wrong one was most likely meant to be. */

/**
 * The nearest known name; undefined: none is near. Case, dashes and underscores do not count: `min-pause` finds
 * `minPause`.
 */
export function nearest(wrong: string, known: readonly string[]): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = distanceBetween(bare(wrong), bare(name));
    if (distance <= tolerance(name) && (best === undefined || distance < best.distance))
      best = { name, distance };
  }
  return best?.name;
}

/** `; did you mean "x"?`, or else `; known: a, b, c`. */
export function didYouMean(wrong: string, known: readonly string[]): string {
  const name = nearest(wrong, known);
  if (name !== undefined) return `; did you mean "${name}"?`;
  return known.length === 0 ? "; there are none" : `; known: ${known.join(", ")}`;
}

function bare(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}

function tolerance(name: string): number {
  return Math.max(1, Math.min(3, Math.floor(name.length / 4)));
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
function distanceBetween(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replaced, rows[i - 1]![j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      }
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
