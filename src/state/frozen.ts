/**
 * Values that no code may change any more: initial values of state, and, with the option `checks`, what was set and
 * handed on.
 *
 * Owns: freezing in depth, the error for code that changes a frozen value. Plain objects and arrays are frozen; Map,
 * Set and Date, which cannot be, get methods that refuse. The bytes of views and buffers stay as they are: nothing can
 * keep them from being changed.
 */
import { types } from "node:util";
import { DEPTH_MAX, problemOf } from "./plain-value.ts";

/**
 * The number of objects that are remembered at most. V8 tells the keys of a WeakSet apart by about 2^20 hashes, and
 * drops dead ones only in a full collection: with some millions of them each `add` takes a hundred times as long.
 */
const REMEMBERED_MAX = 2 ** 16;

/** What was frozen and found to be plain, all the way down; what has been forgotten is looked at once more. */
let settled = new WeakSet<object>();
let remembered = 0;

function remember(value: object): void {
  if (++remembered > REMEMBERED_MAX) {
    settled = new WeakSet();
    remembered = 1;
  }
  settled.add(value);
}

/** Freezes plain objects and arrays in depth; ends at what is frozen already, and at instances of classes. */
export function freeze(value: unknown): void {
  freezeBelow(value, 0);
}

function freezeBelow(value: unknown, depth: number): void {
  if (typeof value !== "object" || value === null || depth > DEPTH_MAX) return;
  if (Object.isFrozen(value) || !freezeOne(value)) return;
  for (const held of contentsOf(value)) freezeBelow(held, depth + 1);
}

/** Freezes as `freeze` does, and looks at everything closely. false: it is no plain value, and `refusalIn` says why. */
export function freezePlain(value: unknown): boolean {
  return freezePlainBelow(value, 0);
}

function freezePlainBelow(value: unknown, depth: number): boolean {
  if (typeof value !== "object") return typeof value !== "function" && typeof value !== "symbol";
  if (value === null || settled.has(value)) return true;
  if (depth >= DEPTH_MAX || problemOf(value) !== undefined) return false;
  for (const held of contentsOf(value)) if (!freezePlainBelow(held, depth + 1)) return false;
  if (freezeOne(value)) remember(value);
  return true;
}

/** false: it cannot be frozen. */
function freezeOne(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Map.prototype || prototype === Set.prototype || prototype === Date.prototype) {
    guard(value);
  } else if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) {
    return false;
  }
  Object.freeze(value);
  return true;
}

function contentsOf(value: object): Iterable<unknown> {
  if (types.isMap(value)) return [...value.keys(), ...value.values()];
  if (types.isSet(value)) return value;
  if (Array.isArray(value)) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? Object.values(value) : [];
}

function guard(value: object): void {
  if (!Object.isExtensible(value)) return;
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(value))) {
    if (!/^(set|add$|delete$|clear$)/.test(name)) continue;
    Object.defineProperty(value, name, {
      value: () => {
        throw new TypeError(`Cannot ${name}: ${FROZEN}`);
      },
    });
  }
}

const FROZEN = "the object is frozen";

/** Does it hold bytes, which cannot be frozen? */
export function holdsBytes(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return true;
  for (const held of contentsOf(value)) if (holdsBytes(held)) return true;
  return false;
}

/** The messages of V8 and of `guard`. */
const CHANGE_REFUSED =
  /object is not extensible|Cannot assign to read only property|Cannot delete property|Cannot redefine property|the object is frozen/;

/** Whether the error says that code tried to change a frozen value. */
export function isChangeRefused(error: unknown): error is TypeError {
  return error instanceof TypeError && CHANGE_REFUSED.test(error.message);
}
