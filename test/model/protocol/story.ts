/** Short forms of the modelled processes for the story of a counterexample. */
import type { JobRecord } from "../../../machines/protocol.ts";
import type { CompositionState } from "../composition.ts";
import { leaves } from "../pure-machine.ts";

/** The states of the real machines alone; those of the model's own actors say nothing to a reader. */
export function showActors(prefixes: readonly string[]): (state: CompositionState) => string {
  return ({ actors }) => {
    const shown = [...actors].filter(([actor]) => prefixes.some((prefix) => actor.startsWith(prefix)));
    return `[${shown.map(([actor, { snapshot }]) => `${actor} ${leaves(snapshot).join("+")}`).join(", ")}]`;
  };
}

export function showRecord({
  token,
  generation,
  status,
  settleTo,
  checkpoints,
  savepoints,
}: JobRecord): string {
  const ids = checkpoints.map(({ checkpointId }) => checkpointId).join();
  const ending = settleTo === null ? "" : ` to ${settleTo}`;
  const kept =
    savepoints.length === 0
      ? ""
      : `, savepoints [${savepoints.map(({ checkpointId }) => checkpointId).join()}]`;
  return `token ${token}, generation ${generation}, ${status}${ending}, checkpoints [${ids}]${kept}`;
}

const WRITTEN = /record\.write from="\w+" value=(\{.*\}) revision=(\d+)$/;
const MOVED = / record=(\{.*\}) revision=/;

/** Whole records in a story say too much: what matters of them remains. */
export function readable(trace: readonly string[]): string[] {
  return trace.map((line) =>
    line
      .replace(WRITTEN, (_, value: string, revision: string) => {
        const record = JSON.parse(value) as JobRecord;
        return `${record.writeId} over revision ${revision}: ${showRecord(record)}`;
      })
      .replace(
        MOVED,
        (_, value: string) => ` record=[${showRecord(JSON.parse(value) as JobRecord)}] revision=`,
      ),
  );
}
