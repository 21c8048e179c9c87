/** The side outputs that an operator declares: their types, and what is checked of them before anything runs. */
import { show } from "../../config/quantity.ts";
import { didYouMean } from "../../config/suggestion.ts";
import { ConfigurationError } from "../../errors.ts";
import { checkName } from "../name.ts";
import type { TypeWitness } from "./type-witness.ts";

/** The side outputs of an operator that has none. */
export type NoSideOutputs = Readonly<Record<never, never>>;

/** What the author writes: `{ late: type<Reading>() }`. */
export type SideOutputWitnesses<Side> = { readonly [Tag in keyof Side]: TypeWitness<Side[Tag]> };

/**
 * Emits one record to the side output of this tag. A side output that is not read drops it.
 * @param timestamp event time of the record, in ms. Default: that of the context
 */
export type SideOutput<Side> = <Tag extends keyof Side & string>(
  tag: Tag,
  value: Side[Tag],
  timestamp?: number,
) => void;

/** @param sideOutputs undefined: the operator has none */
export function checkSideOutputs(id: string, sideOutputs: unknown): void {
  if (sideOutputs === undefined) return;
  const prototype: unknown =
    typeof sideOutputs === "object" && sideOutputs !== null ? Object.getPrototypeOf(sideOutputs) : undefined;
  if (prototype !== Object.prototype && prototype !== null) {
    throw new ConfigurationError(
      id,
      `operator "${id}": sideOutputs must be an object like { late: type<Reading>() }, got ${show(sideOutputs)}`,
    );
  }
  for (const [tag, witness] of Object.entries(sideOutputs as object)) {
    checkName(tag, `operator "${id}": side output`);
    if (typeof witness === "object" && witness !== null) continue;
    throw new ConfigurationError(
      id,
      `operator "${id}": side output "${tag}" must be made by type<…>(), got ${show(witness)}`,
    );
  }
}

/** @throws ConfigurationError when operator `id` has no side output of that tag */
export function checkTag(id: string, tags: readonly string[] = [], tag: unknown): asserts tag is string {
  if (typeof tag === "string" && tags.includes(tag)) return;
  throw new ConfigurationError(
    id,
    tags.length === 0
      ? `operator "${id}": has no side outputs, and sideOutput(${show(tag)}) asks for one`
      : `operator "${id}": no side output ${show(tag)}${didYouMean(String(tag), tags)}`,
  );
}
