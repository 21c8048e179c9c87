/** Rules taken out of the alignment of barriers, in the whole protocol: a subtask behind two channels. */
import type { Bounds } from "../protocol/bounds.ts";
import { theProtocol } from "../protocol/variant.ts";
import { withGuards } from "./machines.ts";
import { type SeededBug, seeded } from "./seeded.ts";

const { alignment } = theProtocol;
const ONCE: Partial<Bounds> = { subtasks: { s: ["X"] }, records: 1, triggers: 1 };
const FOUND_BY = "C4 state and stored records are those before the barriers";

export const gateBugs: readonly SeededBug[] = [
  seeded({
    name: "late-barrier-not-awaited",
    rule: "A2",
    what: "The subtask cuts at the first barrier, and a record that the late channel still had in front of its own is lost.",
    alters: {
      alignment: withGuards(alignment, {
        complete: ({ context }) => (context as { readonly arrived: readonly number[] }).arrived.length > 0,
      }),
    },
    bounds: { ...ONCE, gate: { channels: 2 } },
    foundBy: FOUND_BY,
  }),
  seeded({
    name: "overtaken-records-not-awaited",
    rule: "A7, P13",
    what: "The checkpoint is acknowledged before the records are there that its barrier has overtaken.",
    alters: { alignment: withGuards(alignment, { collected: () => true }) },
    bounds: { ...ONCE, gate: { channels: 2, unaligned: true } },
    foundBy: FOUND_BY,
  }),
  seeded({
    name: "feedback-not-kept",
    rule: "A9, P41",
    what: "What is on its way back at a barrier is in no checkpoint.",
    alters: { alignment: withGuards(alignment, { completeKeeping: () => false }) },
    bounds: { ...ONCE, gate: { channels: 2, feedback: true } },
    foundBy: FOUND_BY,
  }),
];
