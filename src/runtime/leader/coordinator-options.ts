/** What a coordinator is given: its identity, its parts, and what is called when the process must end. */
import type { SavepointPlaces } from "../../checkpoint/savepoint-places.ts";
import type { ControlLink } from "../../control/link.ts";
import type { RequestRefusedError } from "../../errors.ts";
import type { RecordStore } from "../record-store.ts";
import type { Surroundings } from "../surroundings.ts";
import type { ReleaseInput } from "./input-release.ts";

/** The one job of a `tidemark run`, which talks to this coordinator under a random name of its session. */
export interface OwnJob {
  readonly job: string;
  readonly session: string;
}

export interface CoordinatorOptions extends Surroundings {
  /** Random per process start. */
  readonly id: string;
  /** This process and its machine, for messages to others. */
  readonly place: string;
  /** Its machine alone. */
  readonly host: string;
  /** It leads this job only; undefined: the jobs of the cluster. */
  readonly own?: OwnJob | undefined;
  /** Where it writes savepoints. */
  readonly savepointPlaces: SavepointPlaces;
  readonly store: RecordStore;
  readonly link: ControlLink;
  readonly releaseInput: ReleaseInput;
  /** Uniform in [-1, 1). */
  readonly chance: () => number;
  /** It keeps checkpoints elsewhere than the leader: the process must end. */
  readonly onRefused: (error: RequestRefusedError) => void;
  /** A broken invariant: the process must end. */
  readonly onCrash: (error: unknown) => void;
}
