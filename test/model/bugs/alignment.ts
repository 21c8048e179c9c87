/** Rules taken out of the alignment of barriers. */
import { alignmentMachine } from "../../../machines/worker/alignment.ts";
import {
  type AlignmentBounds,
  type AlignmentVariant,
  checkAlignment,
  theAlignment,
} from "../protocol/worker/alignment.ts";
import type { SeededBug } from "./seeded.ts";

const BOUNDS: AlignmentBounds = { channels: 2, records: 1, checkpoints: 2, aborts: 1 };

function seeded(bug: Omit<SeededBug, "check">, alters: Partial<AlignmentVariant>): SeededBug {
  return { ...bug, check: (more) => checkAlignment(BOUNDS, { ...theAlignment, ...alters }, more) };
}

export const alignmentBugs: readonly SeededBug[] = [
  seeded(
    {
      name: "channel-not-blocked",
      rule: "A1",
      what: "A channel that has delivered its barrier goes on while the others are waited for.",
      foundBy: "C4 aligned at the barrier",
    },
    { ignores: ({ type }) => type === "block.channel" },
  ),
  seeded(
    {
      name: "first-barrier-is-enough",
      rule: "A2",
      what: "The barrier counts as aligned when the first channel has delivered it.",
      foundBy: "C4 aligned at the barrier",
    },
    {
      machine: alignmentMachine.provide({
        guards: { complete: ({ context }) => context.arrived.length > 0 },
      }),
    },
  ),
  seeded(
    {
      name: "abort-leaves-channels-blocked",
      rule: "A3",
      what: "A gate that hears of an abort while it aligns keeps its channels blocked.",
      foundBy: "goal",
    },
    {
      ignores: ({ type }, { actors }) => {
        const { arrived, channels } = actors.get("alignment")!.snapshot.context as {
          arrived: number[];
          channels: number;
        };
        return type === "release.channels" && arrived.length < channels;
      },
    },
  ),
];
