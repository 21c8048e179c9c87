/** The key that a user types: text as it is, other types as `tidemark state` prints them. */
import { ConfigurationError, RequestRefusedError } from "../../errors.ts";
import { describeValue } from "../../state/described.ts";
import type { Key } from "../../state/descriptor.ts";
import type { CatalogEntry } from "./catalog.ts";
import { fromJson } from "./value-json.ts";

/**
 * `to` is a text, `42` a number, `true` a boolean, `'"42"'` a text again, `'{"$bigint":"42"}'` a bigint.
 * @throws ConfigurationError for JSON that is no key
 */
export function keyOf(argument: string): Key {
  const value = typedValue(argument);
  if (["string", "number", "boolean", "bigint"].includes(typeof value)) return value as Key;
  throw new ConfigurationError(
    "key",
    `the key is ${describeValue(value)}; keys are texts, numbers, booleans and bigints, such as 'to', 42, true, '{"$bigint":"42"}', and a text that looks like JSON is quoted: '"{}"'`,
  );
}

function typedValue(argument: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(argument);
  } catch {
    return argument;
  }
  try {
    return fromJson(json, "the key");
  } catch (error) {
    throw new ConfigurationError("key", (error as Error).message, { cause: error });
  }
}

/** The keys of other types that are typed alike: one of them may have been meant. */
export function lookalikes(key: Key): Key[] {
  const text = String(key);
  const others: Key[] = [text];
  if (text.trim() !== "" && Number.isFinite(Number(text))) others.push(Number(text));
  if (/^-?\d+$/.test(text)) others.push(BigInt(text));
  if (text === "true" || text === "false") others.push(text === "true");
  return others.filter((other) => other !== key && typeof other !== typeof key);
}

/** @throws RequestRefusedError when a state of keys is asked for without one */
export function neededKey({ operator, state }: CatalogEntry, key: Key | undefined): Key {
  if (key !== undefined) return key;
  throw new RequestRefusedError(
    `state "${state}" of operator ${operator} belongs to keys: name one, or write all of it with "tidemark state dump"`,
  );
}

/** @throws RequestRefusedError when state without key is asked for with one */
export function refuseKey({ operator, state, kind }: CatalogEntry, key: Key | undefined): void {
  if (key === undefined) return;
  throw new RequestRefusedError(
    `state "${state}" of operator ${operator} belongs to no key (${kind}): leave the key out`,
  );
}
