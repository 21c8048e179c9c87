/** Builds operators of a drawn job that ask a service, with the engine's own builder. */
import type { AsyncDefinition } from "../../../../src/index.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import { answered, type DrawnOperator, failed, type Item, isRefused, keyOf } from "../drawing.ts";

export type RequestOperator = Extract<DrawnOperator, { readonly kind: "request" }>;

/** A call of the service: it takes a while, may fail, and may never come to an end. */
export type CallService = () => Promise<void>;

class RefusedError extends Error {}

/** More than a service that fails now and then makes necessary. */
const ATTEMPTS_MANY = 1000;
const ATTEMPTS_FEW = 4;

/** The streams by output; "" is the main one. */
export function applyRequest(
  operator: RequestOperator,
  input: Stream<Item>,
  call: CallService,
): readonly (readonly [string, Stream<Item>])[] {
  const { id, order, perKey, capacity, onFailure, parallelism } = operator;
  const mayFail = onFailure === "fail";
  const definition = {
    async request(item: Item) {
      await call();
      if (!mayFail && isRefused(operator, item)) throw new RefusedError("the service refuses it");
      return answered(operator, item);
    },
    mode: order,
    capacity,
    timeout: mayFail ? "8 s" : "10 h",
    retries: {
      attempts: mayFail ? ATTEMPTS_FEW : ATTEMPTS_MANY,
      delay: "50 ms",
      maxDelay: "1 s",
      when: (error: unknown) => !(error instanceof RefusedError),
    },
    onFailure,
  } satisfies AsyncDefinition<Item, never, Item[], undefined>;
  const options = { parallelism };
  const results =
    perKey === undefined
      ? input.async(id, definition, options)
      : input.keyBy(keyOf[perKey]).async(id, definition, options);
  if (mayFail) return [["", results]];
  const refused = results.sideOutput("failed").map(`${id}-failed`, ({ value }) => failed(id, value), options);
  return [
    ["", results],
    ["failed", refused],
  ];
}
