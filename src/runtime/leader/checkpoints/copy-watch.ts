/** Tells of copies of broadcast state that are not equal although they should be (P100): in the log and in `status`. */
import type { JobRecord, Manifest } from "../../../../machines/protocol.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { unequalCopies } from "../../../job/restore/broadcast-copies.ts";

export interface CopyWatchOptions {
  readonly troubles: TroubleWatcher;
  readonly logger: Logger;
}

export class CopyWatch {
  readonly #logger: Logger;
  readonly #keeping: TroubleWatch;
  #told = "";

  constructor({ troubles, logger }: CopyWatchOptions) {
    this.#logger = logger;
    this.#keeping = troubles.watch("keeping broadcast state the same in all subtasks");
  }

  /** @param manifest of a checkpoint whose barriers were aligned, or that has what they have overtaken */
  look({ job, plan, checkpointing }: JobRecord, manifest: Manifest): void {
    // After a failure some subtasks take a record again that others take once.
    if (checkpointing.mode === "at-least-once") return;
    const unequal = unequalCopies(plan, manifest).join("; ");
    if (unequal === "") this.#keeping.passed();
    else this.#keeping.failed(new Error(unequal));
    if (unequal !== "" && unequal !== this.#told)
      this.#logger.warn({ job, checkpointId: manifest.checkpointId }, unequal);
    this.#told = unequal;
  }
}
