/** What a job says of a versioned join: each record with what was valid at its time. */
import { checkMembers } from "../../config/members.ts";
import { show } from "../../config/quantity.ts";
import { defineOperator } from "../../dataflow/operators/contract.ts";
import type { JoinContext, JoinFunction } from "../../dataflow/operators/joins/pair-context.ts";
import { operatorKinds as kinds } from "../../dataflow/operators/kinds.ts";
import type { LateRecord } from "../../dataflow/operators/windows/late-records.ts";
import { ConfigurationError } from "../../errors.ts";
import type { Key } from "../../state/descriptor.ts";
import { checkFunction, type OperatorOptions } from "../definition.ts";
import type { Emitted, Nothing } from "../functions/process.ts";
import { checkName } from "../name.ts";
import type { Stream } from "../stream.ts";
import type { JoinedStreams } from "./interval-join.ts";

export interface VersionedJoinOptions<ProbeTag extends string = never, BuildTag extends string = never> {
  /**
   * Tag of the side output for late records of the stream that asks, as `LateRecord`. Default: they are only counted.
   */
  readonly lateProbeOutput?: ProbeTag | undefined;
  /** The same of the stream of versions; another tag. */
  readonly lateBuildOutput?: BuildTag | undefined;
}

type LateOutputs<Probe, Build, ProbeTag extends string, BuildTag extends string> = {
  readonly [Tag in ProbeTag]: LateRecord<Probe>;
} & { readonly [Tag in BuildTag]: LateRecord<Build> };

const OPTIONS = ["lateProbeOutput", "lateBuildOutput"];

/** A versioned join of which only the function is missing. */
export class VersionedJoin<
  Probe,
  Build,
  K extends Key,
  ProbeTag extends string = never,
  BuildTag extends string = never,
> {
  readonly #streams: JoinedStreams;
  readonly #options: VersionedJoinOptions<ProbeTag, BuildTag>;

  constructor(streams: JoinedStreams, options: VersionedJoinOptions<ProbeTag, BuildTag> = {}) {
    this.#streams = streams;
    this.#options = options;
  }

  /**
   * Calls `join` once for each record that is not late, when the watermark has come to its time; `version` is undefined
   * where there was none yet. What it returns is emitted, unless it is undefined, with the timestamp of the record;
   * `context.emit` emits any number. `context.rightTimestamp` is the time of the version, or NO_TIMESTAMP.
   */
  // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
  process<Out = any, Returned extends Out | Nothing = Nothing>(
    id: string,
    join: (record: Probe, version: Build | undefined, context: JoinContext<K, Out>) => Returned,
    options?: OperatorOptions,
  ): Stream<Emitted<Out, Returned>, LateOutputs<Probe, Build, ProbeTag, BuildTag>> {
    checkFunction(id, "process", join);
    checkMembers(this.#options, OPTIONS, `operator "${id}"`, "option", id);
    const { lateProbeOutput, lateBuildOutput } = this.#options;
    for (const tag of [lateProbeOutput, lateBuildOutput])
      if (tag !== undefined) checkName(tag, `operator "${id}": side output`);
    if (lateProbeOutput !== undefined && String(lateProbeOutput) === lateBuildOutput) {
      throw new ConfigurationError(
        id,
        `operator "${id}": side output ${show(lateProbeOutput)} cannot be that of both sides: give each a tag of its own`,
      );
    }
    const { leftKey, rightKey, add } = this.#streams;
    const definition = {
      probe: { key: leftKey, lateTag: lateProbeOutput },
      build: { key: rightKey, lateTag: lateBuildOutput },
      join: join as JoinFunction,
    };
    return add(defineOperator(kinds.versionedJoin, id, definition), options);
  }
}
