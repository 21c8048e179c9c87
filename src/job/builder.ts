/**
 * `defineJob` and the streams that its callback joins together.
 *
 * Streams are descriptions: no method moves a record. Each method adds one operator to the job's list, in the order of
 * the calls, and answers the stream of what that operator emits. Everything that can be known to be wrong without
 * the configuration is refused here, with the operator's id as key.
 */
import { checkJobOptions } from "../config/job-config.ts";
import type { JobOptions } from "../config/options.ts";
import { defineOperator } from "../dataflow/operators/contract.ts";
import { operatorKinds as kinds } from "../dataflow/operators/kinds.ts";
import type { Source } from "../dataflow/source.ts";
import {
  checkArguments,
  checkSource,
  type IterateOptions,
  type OperatorOptions,
  refuseDeferred,
} from "./definition.ts";
import { JobDraft } from "./draft.ts";
import type { FunctionOptions } from "./functions/given.ts";
import { Job } from "./job.ts";
import { type Stream, streamOf } from "./stream.ts";
import { eventTimeOf, type SourceOptions } from "./time/source-options.ts";

export type { FunctionOptions, IterateOptions, OperatorOptions, SourceOptions };

/**
 * A job: what a job file exports by default.
 *
 * @param name letters, digits, `_` and `-`, at most 48; names the job's records, subjects and objects
 * @param options may be `{}`; environment and flags win over them
 * @param build called at once, synchronously: adds sources, operators and sinks
 * @throws ConfigurationError when the description cannot work; its key is the operator's id or the option
 */
export function defineJob(name: string, options: JobOptions, build: (job: JobBuilder) => void): Job {
  checkArguments(name, options, build);
  checkJobOptions(options);
  const draft = new JobDraft(name);
  const built: unknown = build(new JobBuilder(draft));
  refuseDeferred(built, name, `job "${name}": the function that builds the job`);
  return new Job(name, options, draft.finish());
}

/** The beginning of a job: its sources and loops. */
export class JobBuilder {
  readonly #draft: JobDraft;

  constructor(draft: JobDraft) {
    this.#draft = draft;
  }

  /** The draft behind a builder, for operators that have no method yet. */
  static draftOf(builder: JobBuilder): JobDraft {
    return builder.#draft;
  }

  /** Reads `source`. `id`: the operator's stable name; a restored job finds its positions by it. */
  source<T>(id: string, source: Source<T>, options: SourceOptions<NoInfer<T>> = {}): Stream<T, { ahead: T }> {
    checkSource(id, source);
    const { eventTime, rest } = eventTimeOf(id, options);
    const definition = { source, ...(eventTime && { eventTime }) };
    this.#draft.add(defineOperator(kinds.source, id, definition), [], rest);
    return streamOf(this.#draft, id);
  }
}
