/** What the cases of a storage put into it, and how they look at what it answers. */
import type { StoredObject } from "../checkpoint/storage.ts";

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Content that no compression and no luck makes equal. */
export function noise(size: number, seed: number): Uint8Array {
  const result = new Uint8Array(size);
  let x = seed * 2654435761 + 1;
  for (let i = 0; i < size; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    result[i] = x >>> 24;
  }
  return result;
}

/** A producer that gives nothing, and never ends. */
export function silent(): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) };
}

/** By name, and without what a storage of a user's may say beyond that. */
export async function listed(objects: AsyncIterable<StoredObject>): Promise<StoredObject[]> {
  const result: StoredObject[] = [];
  for await (const { name, bytes: size } of objects) result.push({ name, bytes: size });
  return result.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export const names = (objects: readonly StoredObject[]): string[] => objects.map(({ name }) => name);

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.length).equals(b);
}

/** What it rejects with; undefined: it resolves. */
export function rejection(outcome: Promise<unknown>): Promise<unknown> {
  return outcome.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** A promise that is resolved from outside. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}
