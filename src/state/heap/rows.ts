/**
 * The rows of one table: where the row of a (key, namespace) lies.
 *
 * Owns: the numbers of blocks, and which row a (key, namespace) has. Does not own: the memory of rows (block.ts), which
 * rows a key group has (row-group.ts).
 *
 * A row's number says where it lies: the number of its block, then its place in it.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { hashOf } from "../key-groups.ts";
import { type Block, ROWS_MASK, ROWS_SHIFT } from "./block.ts";
import { KeyIndex } from "./key-index.ts";

export class Rows {
  readonly index = new KeyIndex();
  /** The blocks by number. */
  readonly blocks: (Block | undefined)[] = [];
  private readonly free: number[] = [];
  /**
   * Every row was of an integer of 32 bits in the fixed namespace, so a row that has the hash of another such key is
   * its row.
   */
  private integersOnly = true;

  /** -1: there is none. `hash`: of both (hashOfRow). */
  find(key: Key, namespace: Namespace, hash: number): number {
    const row = this.index.first(hash);
    return row < 0 || (this.integersOnly && namespace === undefined && isInteger(key))
      ? row
      : this.firstOf(row, key, namespace, hash);
  }

  blockOf(row: number): Block {
    return this.blocks[row >>> ROWS_SHIFT]!;
  }

  /** Gives the block its number. */
  addBlock(block: Block): void {
    block.number = this.free.pop() ?? this.blocks.length;
    this.blocks[block.number] = block;
  }

  /** It takes the place of the one with its number. */
  replaceBlock(block: Block): void {
    this.blocks[block.number] = block;
  }

  removeBlock(block: Block): void {
    this.blocks[block.number] = undefined;
    this.free.push(block.number);
  }

  add(key: Key, namespace: Namespace, hash: number, row: number): void {
    if (this.integersOnly) this.integersOnly = namespace === undefined && isInteger(key);
    this.index.add(hash, row);
  }

  private firstOf(candidate: number, key: Key, namespace: Namespace, hash: number): number {
    let row = candidate;
    while (row >= 0 && !this.isOf(row, key, namespace)) row = this.index.next(hash, row);
    return row;
  }

  private isOf(row: number, key: Key, namespace: Namespace): boolean {
    const block = this.blocks[row >>> ROWS_SHIFT]!;
    const at = row & ROWS_MASK;
    const { namespaces } = block;
    if (!isSame(block.keys[at], key)) return false;
    return namespaces === undefined ? namespace === undefined : isSame(namespaces[at], namespace);
  }
}

/** Whether two keys are the same to a Map. */
function isSame(a: Key | undefined, b: Key | undefined): boolean {
  // biome-ignore lint/suspicious/noSelfCompare: NaN, faster than Number.isNaN of any type.
  return a === b || (a !== a && b !== b);
}

/** Whether the key is an integer of 32 bits; -0 joins 0. */
export function isInteger(key: Key): key is number {
  return typeof key === "number" && (key | 0) === key;
}

/**
 * The hash of a row, a signed number of 32 bits: the same for keys and namespaces that are equal (KG2 of
 * key-groups.ts). An integer in the fixed namespace is its own hash, so that finding its row need not wait for the hash
 * that decides its key group.
 */
export function hashOfRow(key: Key, namespace: Namespace): number {
  return withNamespace(isInteger(key) ? key | 0 : hashOf(key) | 0, namespace);
}

/** `hash`: the key's in the fixed namespace. */
export function withNamespace(hash: number, namespace: Namespace): number {
  return namespace === undefined ? hash : Math.imul(hash, 31) ^ hashOf(namespace);
}
