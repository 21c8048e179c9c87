/**
 * The record writer of one leader as a machine: the twin of src/runtime/leader/records/record-writer.ts.
 *
 * One change at a time, the others wait (P7). A write stays in flight until its answer comes, however often it is sent;
 * what the answers mean is decided by machines/record.ts, in the server (record-server.ts).
 */
import { type AnyStateMachine, assign, setup } from "xstate";
import { declareEffects } from "../../../../../machines/effects.ts";
import type { JobRecord } from "../../../../../machines/protocol.ts";
import type { changeRecord, RecordChange } from "../../../../../machines/record.ts";
import type { RecordAnswer, RecordWrite } from "../../words.ts";

export const WRITER = "writer";

export interface WriterInput {
  readonly from: string;
  readonly token: number;
  readonly record: JobRecord;
  readonly revision: number;
  /** That this process has begun. */
  readonly writes: number;
}

interface Request {
  /** The actor to answer; empty: no actor waits. */
  readonly actor: string;
  readonly change: RecordChange;
}

export type WriteAnswer =
  | { readonly outcome: "stored"; readonly before: JobRecord; readonly record: JobRecord }
  | { readonly outcome: "refused"; readonly record: JobRecord }
  | { readonly outcome: "lost" };

type WriterEvent =
  | ({ readonly type: "change.requested" } & Request)
  | RecordAnswer
  /** Seeded bug only: a write of unknown outcome is taken for one that failed. */
  | { readonly type: "write.timedOut" };

export interface WriterContext extends WriterInput {
  readonly queue: readonly Request[];
  readonly value: JobRecord | null;
  readonly lost: boolean;
}

interface WriterEffects {
  "send.write": RecordWrite;
  "answer.request": Request & { readonly answer: WriteAnswer };
}

export function writerMachine(changeOf: typeof changeRecord): AnyStateMachine {
  const changed = ({ record, queue }: WriterContext) => changeOf(record, queue[0]!.change);
  const answered = (answer: (context: WriterContext) => WriteAnswer) =>
    [
      {
        type: "answer.request",
        params: ({ context }: { context: WriterContext }) => ({
          ...context.queue[0]!,
          answer: answer(context),
        }),
      },
      "drop",
    ] as const;
  return setup({
    types: {} as { context: WriterContext; input: WriterInput; events: WriterEvent },
    actions: {
      ...declareEffects<WriterEffects>({ "send.write": true, "answer.request": true }),
      enqueue: assign(({ context, event }) =>
        event.type !== "change.requested"
          ? {}
          : { queue: [...context.queue, { actor: event.actor, change: event.change }] },
      ),
      drop: assign(({ context }) => ({ queue: context.queue.slice(1) })),
      begin: assign(({ context }) => {
        const next = changed(context);
        if (!("record" in next)) return {};
        const writes = context.writes + 1;
        return {
          writes,
          value: { ...next.record, token: context.token, writeId: `${context.from}${writes}` },
        };
      }),
      adoptOwn: assign(({ context, event }) =>
        event.type !== "write.stored"
          ? {}
          : { record: context.value!, revision: event.revision, value: null },
      ),
      adoptMoved: assign(({ event }) =>
        event.type !== "write.moved" ? {} : { record: event.record, revision: event.revision, value: null },
      ),
      giveUp: assign({ lost: true, value: null }),
      forget: assign({ value: null }),
    },
    guards: {
      lost: ({ context }) => context.lost && context.queue.length > 0,
      refused: ({ context }) => context.queue.length > 0 && "refused" in changed(context),
      waiting: ({ context }) => context.queue.length > 0,
      other: ({ context, event }) => "writeId" in event && event.writeId !== context.value?.writeId,
    },
  }).createMachine({
    id: "writer",
    options: { maxIterations: 50 },
    context: ({ input }) => ({ ...input, queue: [], value: null, lost: false }),
    initial: "resting",
    on: { "change.requested": { actions: "enqueue" } },
    states: {
      resting: {
        always: [
          {
            guard: "lost",
            target: "resting",
            reenter: true,
            actions: [...answered(() => ({ outcome: "lost" }))],
          },
          {
            guard: "refused",
            target: "resting",
            reenter: true,
            actions: [...answered(({ record }) => ({ outcome: "refused", record }))],
          },
          { guard: "waiting", target: "writing" },
        ],
      },
      writing: {
        entry: [
          "begin",
          {
            type: "send.write",
            params: ({ context }) => ({
              type: "record.write" as const,
              from: context.from,
              value: context.value!,
              revision: context.revision,
            }),
          },
        ],
        on: {
          "write.stored": [
            { guard: "other" },
            {
              target: "resting",
              actions: [
                {
                  type: "answer.request",
                  params: ({ context }) => ({
                    ...context.queue[0]!,
                    answer: { outcome: "stored" as const, before: context.record, record: context.value! },
                  }),
                },
                "drop",
                "adoptOwn",
              ],
            },
          ],
          "write.moved": [{ guard: "other" }, { target: "resting", actions: "adoptMoved" }],
          "write.lost": { target: "resting", actions: "giveUp" },
          "write.timedOut": {
            target: "resting",
            actions: [...answered(({ record }) => ({ outcome: "refused", record })), "forget"],
          },
        },
      },
    },
  });
}
