/** The windows of a drawn operator, as the engine's own builder takes them. */
import {
  cumulateWindows,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
} from "../../../../src/index.ts";
import { gapOf, type Item, windowsOf } from "../drawing.ts";

/** The gap is the same behind each. */
const NO_ITEM: Item = { by: "", key: 0, at: 0, n: 0 };

export function assignerOf(operator: Parameters<typeof windowsOf>[0]): WindowAssigner<Item> {
  if (operator.kind === "session")
    return sessionWindows({
      gap: operator.a % 2 === 0 ? gapOf(operator, NO_ITEM) : (item: Item) => gapOf(operator, item),
    });
  const { sizeMs: size, slideMs, offsetMs: offset } = windowsOf(operator);
  const isSliding = operator.kind !== "cumulating" && slideMs !== size;
  if (isSliding || operator.kind === "sliding") return slidingWindows({ size, slide: slideMs });
  return operator.kind === "cumulating"
    ? cumulateWindows({ size, step: slideMs })
    : tumblingWindows({ size, offset });
}
