/** One sink transaction. A trace changes only with the protocol: update one only if you can say why. */
import {
  type SinkTransactionEvent,
  sinkTransactionMachine,
} from "../../../machines/worker/sink-transaction.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: SinkTransactionEvent) => ({ event });
const cut = take({ type: "barrier.reached", transaction: "out@7" });
const staged = take({ type: "transaction.staged" });
const due = take({ type: "commit.due" });
const committed = take({ type: "transaction.committed" });
const failed = take({ type: "commit.failed", reason: "no answer within 5 s" });
const paused = take({ type: "timer.fired", timer: "commit" });
const ended = take({ type: "generation.ended" });

const story = (title: string, steps: Scenario["steps"], restored: string | null = null): Scenario => ({
  title,
  actors: { transaction: { machine: sinkTransactionMachine, input: { restored, retryMs: 200 } } },
  steps,
});

describeTraces({
  machine: sinkTransactionMachine,
  scenarios: {
    committed: story("Cut, durable, decided, committed: in this order and no other.   (T1, P13, P17, C2)", [
      "Barrier 7 cuts the transaction and gives it its name (P4).",
      cut,
      "Durable: from here on it can be committed for ever.",
      staged,
      "Checkpoint 7 is decided and every older transaction of this subtask is committed.",
      due,
      committed,
    ]),
    "commit-retried": story("A commit is repeated for as long as it takes.   (T3, P17)", [
      cut,
      staged,
      due,
      failed,
      "Nothing is counted out: the same commit again, and again.",
      paused,
      failed,
      paused,
      committed,
    ]),
    "committed-late": story("The answer of an earlier try is as good as that of the last one.   (P17)", [
      cut,
      staged,
      due,
      failed,
      "The try that timed out had reached the target after all.",
      committed,
    ]),
    refused: story(
      "A commit that no repetition can mend stops the job resumably, and skips nothing.   (T3, P24)",
      [cut, staged, due, failed, paused, take({ type: "commit.refused", reason: "stream OUT was deleted" })],
    ),
    "staging-failed": story(
      "What cannot be made durable fails the generation: its records are read again.   (P14)",
      [cut, take({ type: "staging.failed", reason: "the disk is gone" })],
    ),
    restored: story(
      "A transaction of an older generation is committed by the one that restores it.   (P14, P17)",
      ["Named by the manifest, so it is durable: nothing is staged again.", due, committed],
      "out@6",
    ),
    "ended-while-open": story("Never cut: the only transaction that may be aborted.   (T4, P14)", [
      ended,
      take({ type: "transaction.aborted" }),
    ]),
    "ended-while-preparing": story(
      "Cut but not durable when its generation ends: the leader was not told of it.   (T2, P14)",
      [cut, ended],
    ),
    "ended-while-prepared": story(
      "Durable when its generation ends: the manifest, if any, names it.   (T2, P14)",
      [cut, staged, ended],
    ),
    "ended-while-committing": story(
      "Decided when its generation ends: the next one commits it again.   (P17)",
      [cut, staged, due, failed, ended],
    ),
  },
});
