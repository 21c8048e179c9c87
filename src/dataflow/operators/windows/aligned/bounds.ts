/** Aligned windows by the data that tell where they lie. */
import type { WindowBounds } from "../../../../../machines/protocol.ts";
import { type AlignedWindows, cumulating, sliding, tumbling } from "./assigner.ts";
import { calendar } from "./calendar.ts";

export type AlignedBounds = Exclude<WindowBounds, { readonly kind: "sessions" }>;

/** @throws RangeError for a time zone that is not in the database */
export function alignedBy(bounds: AlignedBounds): AlignedWindows {
  switch (bounds.kind) {
    case "tumbling":
      return tumbling(bounds.sizeMs, bounds.offsetMs);
    case "sliding":
      return sliding(bounds.sizeMs, bounds.slideMs, bounds.offsetMs);
    case "cumulating":
      return cumulating(bounds.sizeMs, bounds.stepMs, bounds.offsetMs);
    case "calendar":
      return calendar(bounds.every, bounds.zone);
  }
}
