/**
 * Key groups: the smallest unit in which keyed state moves when a job is rescaled.
 *
 * Owns: the hash of a key, the key group of a hash, and which subtask owns which key groups. All of it is part of
 * the format of stored state: a change here loses state without an error, so golden values guard it.
 *
 * - KG1 The same key has the same key group in every process and on every platform.
 * - KG2 Keys that a Map takes for equal have the same key group (0 and -0, every NaN). 1, "1", 1n and true are four
 *   keys.
 * - KG3 Every key group is in the range of exactly one subtask, which is its owner.
 */
import type { KeyGroupRange } from "../../machines/protocol.ts";
import { ConfigurationError, invariant } from "../errors.ts";
import { describeValue, silence } from "./described.ts";
import type { Key } from "./descriptor.ts";

export type { KeyGroupRange };

const MAX_PARALLELISM_MIN = 128;
const MAX_PARALLELISM_MAX = 32_768;

const SEED_STRING = 0;
const SEED_NUMBER = 1;
const SEED_BIGINT = 2;
const SEED_BOOLEAN = 3;

/** By this name V8 makes less code of `hashOfInteger`, and so puts it into the functions that call it. */
const { imul } = Math;

/** Scratch for the bits of a number; written and read within one call. */
const bits = new DataView(new ArrayBuffer(8));

export function keyGroupOf(key: Key, maxParallelism: number): number {
  return keyGroupOfHash(hashOf(key), maxParallelism);
}

export function keyGroupOfHash(hash: number, maxParallelism: number): number {
  return hash % maxParallelism;
}

/** The subtask that holds the state of `keyGroup`. */
export function ownerOf(keyGroup: number, parallelism: number, maxParallelism: number): number {
  return Math.floor((keyGroup * parallelism) / maxParallelism);
}

export function keyGroupRangeOf(
  subtaskIndex: number,
  parallelism: number,
  maxParallelism: number,
): KeyGroupRange {
  invariant(
    parallelism <= maxParallelism,
    `parallelism ${parallelism} is larger than the number of key groups, ${maxParallelism}`,
  );
  return {
    first: Math.ceil((subtaskIndex * maxParallelism) / parallelism),
    last: Math.floor(((subtaskIndex + 1) * maxParallelism - 1) / parallelism),
  };
}

/** Next power of two above 1.5 times the parallelism: room to grow without rewriting state. */
export function defaultMaxParallelism(parallelism: number): number {
  const wanted = parallelism + Math.floor(parallelism / 2);
  let groups = MAX_PARALLELISM_MIN;
  while (groups < wanted && groups < MAX_PARALLELISM_MAX) groups *= 2;
  return groups;
}

export function rangesIntersect(a: KeyGroupRange, b: KeyGroupRange): boolean {
  return Math.max(a.first, b.first) <= Math.min(a.last, b.last);
}

/** @throws ConfigurationError when `key` is of a type that has no stable identity */
export function hashOf(key: Key): number {
  switch (typeof key) {
    case "string":
      return murmur3(key, SEED_STRING);
    case "number":
      return hashNumber(key);
    case "bigint":
      return murmur3(key.toString(), SEED_BIGINT);
    case "boolean":
      return finish(mixBlock(SEED_BOOLEAN, key ? 1 : 0), 4);
    default:
      silence(key);
      throw new ConfigurationError(
        "keyBy",
        `a key selector returned ${describeValue(key)}; keys are strings, numbers, booleans or bigints: select a field, or join several into one string`,
      );
  }
}

/** MurmurHash3 (x86, 32 bits) of the string's UTF-16 code units, little endian, as an unsigned number. */
export function murmur3(text: string, seed: number): number {
  const length = text.length;
  const paired = length & ~1;
  let hash = seed;
  for (let i = 0; i < paired; i += 2) {
    hash = mixBlock(hash, text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16));
  }
  if (paired < length) hash ^= scramble(text.charCodeAt(paired));
  return finish(hash, length * 2);
}

/** The hash of an integer of 32 bits, signed. It calls nothing, because most keyed records pay for it. */
export function hashOfInteger(value: number): number {
  let h = imul(value, 0xcc9e2d51);
  h = SEED_NUMBER ^ imul((h << 15) | (h >>> 17), 0x1b873593);
  h = (((h << 13) | (h >>> 19)) * 5 + 0xe6546b64) ^ 4;
  h = imul(h ^ (h >>> 16), 0x85ebca6b);
  h = imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function hashNumber(value: number): number {
  // This holds for -0 as well, which so joins 0.
  if ((value | 0) === value) return hashOfInteger(value | 0) >>> 0;
  bits.setFloat64(0, value, true);
  // Which bits a NaN carries is up to the engine; all of them are one key.
  const low = Number.isNaN(value) ? 0 : bits.getInt32(0, true);
  const high = Number.isNaN(value) ? 0x7ff80000 : bits.getInt32(4, true);
  return finish(mixBlock(mixBlock(SEED_NUMBER, low), high), 8);
}

function scramble(block: number): number {
  const k = Math.imul(block, 0xcc9e2d51);
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593);
}

function mixBlock(hash: number, block: number): number {
  const h = hash ^ scramble(block);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

function finish(hash: number, bytes: number): number {
  let h = hash ^ bytes;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
