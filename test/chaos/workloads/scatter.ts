/** A whole number in [0, 2^32) that looks like chance, the same for the same `n`. */
export function scatter(n: number): number {
  const mixed = Math.imul(n ^ (n >>> 16), 0x45d9f3b);
  return (Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) ^ (mixed >>> 13)) >>> 0;
}
