/** Chains that are cut between two steps and go on in a new one, as after a failure. */
import { buildChain, type Chain } from "../../../src/dataflow/chain.ts";
import type { OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import { leadingTo } from "../../support/graphs/operators.ts";

/** A record at a port, or a watermark. */
export type Step =
  | { readonly port: number; readonly value: unknown; readonly time: number }
  | { readonly watermark: number };

export interface Ran {
  /** What left by the main output and by each tag, under its name. */
  readonly out: Readonly<Record<string, [value: unknown, timestamp: number][]>>;
  readonly chain: Chain;
}

/** Runs the steps; before those of `cutAt` the chain is cut, dropped, and put back into a new one. */
export function run(
  definition: OperatorDefinition,
  steps: readonly Step[],
  cutAt: readonly number[] = [],
): Ran {
  const out: Record<string, [unknown, number][]> = {};
  let chain = open(definition, out);
  finishAll(chain.restored());
  for (const [place, step] of steps.entries()) {
    if (cutAt.includes(place)) chain = restored(chain, definition, out);
    if ("watermark" in step) finishAll(chain.advance(step.watermark, 1));
    else chain.heads[step.port]!(step.value, step.time);
  }
  return { out, chain };
}

function open(definition: OperatorDefinition, out: Record<string, [unknown, number][]>): Chain {
  const main = leadingTo(definition, [], ["out"]);
  const tagged = (definition.details.tags ?? []).map((tag) => ({ tag, next: [], edges: [tag] }));
  return buildChain(
    { id: "vertex", parallelism: 1, operators: [{ ...main, outputs: [...main.outputs, ...tagged] }] },
    {
      subtaskIndex: 0,
      maxParallelism: 128,
      output: (name) => {
        out[name] ??= [];
        return (value, timestamp) => void out[name]!.push([value, timestamp]);
      },
      writer: () => {
        throw new Error("no sink");
      },
      checks: true,
    },
  );
}

export function finishAll(slices: { step(): boolean } | undefined): void {
  while (slices?.step());
}

/** A new chain that goes on where `before` is. */
export function restored(
  before: Chain,
  definition: OperatorDefinition,
  out: Record<string, [unknown, number][]> = {},
): Chain {
  const after = open(definition, out);
  for (const { cursor, ...address } of before.snapshot()) {
    for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) {
      const restorer = after.restorer(address, { object: "a test", bytes: chunk.bytes });
      while (restorer.next());
    }
  }
  after.restoreTimes(before.times());
  finishAll(after.restored());
  return after;
}

/** How many rows each state holds. */
export function rowsOf(chain: Chain): Readonly<Record<string, number>> {
  const rows: Record<string, number> = {};
  for (const { state, cursor } of chain.snapshot()) {
    rows[state] ??= 0;
    for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) rows[state]! += chunk.entries;
  }
  return rows;
}
