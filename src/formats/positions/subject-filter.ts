/** Subject filters: what they may look like, and whether two of them can match the same subject. */

/** Whether the text is a filter: tokens between dots, "*" for one token, ">" for all further ones at the end. */
export function isSubjectFilter(filter: string): boolean {
  const tokens = filter.split(".");
  return tokens.every((token, i) => {
    if (token === ">") return i === tokens.length - 1;
    if (token === "*") return true;
    return token !== "" && !/[\s*>]/.test(token);
  });
}

/** Whether both filters match some subject. */
export function filtersOverlap(one: string, other: string): boolean {
  const ones = one.split(".");
  const others = other.split(".");
  for (let i = 0; ; i++) {
    const a = ones[i];
    const b = others[i];
    if (a === undefined || b === undefined) return a === b;
    if (a === ">" || b === ">") return true;
    if (a !== b && a !== "*" && b !== "*") return false;
  }
}
