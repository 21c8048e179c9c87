/** Every seeded bug that the checker must find. */
import { hostBugs } from "./hosts.ts";
import { machineBugs } from "./machines.ts";
import type { SeededBug } from "./seeded.ts";

export const seededBugs: readonly SeededBug[] = [...machineBugs, ...hostBugs];
