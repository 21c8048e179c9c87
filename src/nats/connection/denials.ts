/**
 * Tells each publisher which of its publications the server does not let through.
 *
 * The server tells a refused publication to the connection, not to its publisher: nats.js matches it to a request of
 * that subject if there is one, and hands all others to the reader of the connection's status. Here code that publishes
 * without a request says which subjects are its own, and is told.
 *
 * - DN1 Each owner of a subject is told of each refusal; the sentence names the subject.
 * - DN2 A refusal without an owner (frames of channels, events, answers to requests) is a trouble of the process, which
 *   is over when none has come for `QUIET_MS`.
 */
import { PermissionViolationError } from "@nats-io/transport-node";
import type { TroubleWatch, TroubleWatcher } from "../../dataflow/trouble.ts";
import { PermissionDeniedError } from "../../errors.ts";
import { startTimer } from "../../timer.ts";

const QUIET_MS = 15_000;
/** Subjects of requests that were refused: their callers know. */
const REMEMBERED_MAX = 100;

/** What a call to the server was refused for, if it was that. */
export function denialIn(error: unknown, what?: string): PermissionDeniedError | undefined {
  const inner = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (!(inner instanceof PermissionViolationError)) return undefined;
  const options = { cause: error, ...(what === undefined ? {} : { what }) };
  return new PermissionDeniedError(inner.operation, inner.subject, options);
}

export type DenialListener = (error: PermissionDeniedError) => void;

interface Owner {
  readonly owns: (subject: string) => boolean;
  readonly listener: DenialListener;
}

export class Denials {
  readonly #owners = new Set<Owner>();
  readonly #answered = new Set<string>();
  #others: TroubleWatch | undefined;
  #cancelQuiet: () => void = () => {};

  /** Called by a process that shows its troubles. */
  watchWith(troubles: TroubleWatcher): void {
    this.#others = troubles.watch("publishing over NATS");
  }

  /** `listener` is told of refused publications to subjects for which `owns` is true. Returns its removal. */
  onPublish(owns: (subject: string) => boolean, listener: DenialListener): () => void {
    const owner = { owns, listener };
    this.#owners.add(owner);
    return () => this.#owners.delete(owner);
  }

  /** A request was refused, and its caller has been told so. */
  answered(subject: string): void {
    if (this.#answered.size >= REMEMBERED_MAX) this.#answered.clear();
    this.#answered.add(subject);
  }

  /** Takes an error as the connection's status tells it. */
  reported(error: unknown): void {
    if (!(error instanceof PermissionViolationError) || error.operation !== "publish") return;
    const { subject } = error;
    const owners = [...this.#owners].filter(({ owns }) => owns(subject));
    const denied = new PermissionDeniedError("publish", subject, { cause: error });
    for (const { listener } of owners) listener(denied);
    // The caller of a request is told in the same turn of the event loop.
    if (owners.length === 0) setImmediate(() => this.#unowned(denied));
  }

  close(): void {
    this.#cancelQuiet();
    this.#others?.forget();
  }

  #unowned(error: PermissionDeniedError): void {
    if (this.#answered.has(error.subject)) return;
    this.#others?.failed(error);
    this.#cancelQuiet();
    this.#cancelQuiet = startTimer(QUIET_MS, () => this.#others?.passed(), false);
  }
}
