/** Every seeded bug that the checker must find. */
import { alignmentBugs } from "./alignment.ts";
import { gateBugs } from "./gate.ts";
import { hostBugs } from "./hosts.ts";
import { layerBugs } from "./layered-checkpoints.ts";
import { machineBugs } from "./machines.ts";
import { regionBugs } from "./regions.ts";
import { requestBugs } from "./requests.ts";
import { rescaleBugs } from "./rescales.ts";
import type { SeededBug } from "./seeded.ts";

export const seededBugs: readonly SeededBug[] = [
  ...machineBugs,
  ...hostBugs,
  ...requestBugs,
  ...regionBugs,
  ...alignmentBugs,
  ...gateBugs,
  ...layerBugs,
  ...rescaleBugs,
];
