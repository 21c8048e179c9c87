/**
 * A job while its author writes it: the operators so far, the streams that no operator reads yet, the loop that is
 * open.
 *
 * Owns: what can only be refused when several operators are looked at. Does not own: the methods of streams
 * (stream.ts, keyed-stream.ts).
 */
import { checkMembers } from "../config/members.ts";
import { show } from "../config/quantity.ts";
import type { Partitioner } from "../dataflow/graph.ts";
import type { OperatorDefinition, OperatorDetails } from "../dataflow/operators/contract.ts";
import type { SourceAlignment } from "../dataflow/time/source-time.ts";
import { ConfigurationError } from "../errors.ts";
import { checkOptions, type OperatorOptions, refuseDeferred, twinOf } from "./definition.ts";
import { checkTag } from "./functions/side-outputs.ts";
import type { JobOperator, OperatorInput } from "./job.ts";
import { checkWaits } from "./joins/waits.ts";
import { checkName } from "./name.ts";
import { withDefaultPace } from "./time/default-pace.ts";
import { checkTimestamps } from "./time/timestamps.ts";

/** A stream that no operator reads yet. */
export interface OpenEnd {
  /** The operator it comes from. */
  readonly key: string;
  readonly what: string;
  readonly needs: string;
  used: boolean;
}

/** What is known of a stream. */
interface Described {
  readonly inputs: readonly OperatorInput[];
  readonly end: OpenEnd;
  readonly keyed: boolean;
}

export class JobDraft {
  readonly #job: string;
  readonly #operators = new Map<string, JobOperator>();
  readonly #streams = new Map<object, Described>();
  #openLoop: string | undefined;
  #finished = false;

  constructor(job: string) {
    this.#job = job;
  }

  /** @param more options that operators of this kind have besides those of all */
  add(
    definition: OperatorDefinition,
    inputs: readonly OperatorInput[],
    options: OperatorOptions = {},
    more: readonly string[] = [],
  ): void {
    const { id } = definition;
    checkName(id, "operator id");
    if (this.#finished) {
      throw new ConfigurationError(
        id,
        `operator "${id}": job "${this.#job}" is already defined; add it inside defineJob`,
      );
    }
    if (this.#operators.has(id)) {
      throw new ConfigurationError(
        id,
        `operator "${id}": used twice in job "${this.#job}"; each operator needs an id of its own, its state is found by it`,
      );
    }
    const alike = twinOf([...this.#operators.keys(), id]);
    if (alike !== undefined) {
      throw new ConfigurationError(
        id,
        `operator "${id}": differs from operator "${alike[0]}" only in upper and lower case, which some file systems do ` +
          "not tell apart; give it another id",
      );
    }
    checkOptions(id, options, more);
    this.#operators.set(id, { definition, inputs, parallelism: options.parallelism });
  }

  /**
   * Adds an operator that reads these streams of the job, one for each of its ports.
   * @param more options that operators of this kind have besides those of all
   */
  apply(
    definition: OperatorDefinition,
    streams: readonly object[],
    options?: OperatorOptions,
    more?: readonly string[],
  ): void {
    const read = streams.map((stream) => this.#streams.get(stream)!);
    const waits = ({ exchange }: OperatorInput) =>
      exchange.kind === "broadcast" && exchange.waitFor !== undefined;
    if (definition.details.waits === undefined && read.some(({ inputs }) => inputs.some(waits)))
      throw new ConfigurationError(
        definition.id,
        `operator "${definition.id}": reads a stream behind broadcast({ waitFor }), and holds no other one back; waitFor is for keyBy(...).connect(rules.broadcast({ waitFor }))`,
      );
    for (const { end } of read) end.used = true;
    const inputs = read.flatMap(({ inputs }, port) =>
      port === 0 ? inputs : inputs.map((one) => ({ ...one, port })),
    );
    this.add(definition, inputs, options, more);
  }

  /** Leads records of an operator back to itself: a loop of its own. */
  feedToItself(id: string, feedback: readonly OperatorInput[]): void {
    if (this.#openLoop !== undefined) {
      throw new ConfigurationError(
        id,
        `operator "${id}": its actors send events to each other over a loop of their own, and lies inside loop ` +
          `"${this.#openLoop}": loops cannot be nested; put it in front of the loop or behind its output`,
      );
    }
    this.#operators.set(id, { ...this.#operators.get(id)!, feedback });
  }

  opened(stream: object, described: Described): void {
    this.#streams.set(stream, described);
  }

  /**
   * What was said at `broadcast()`.
   * @param after the operator behind which `connect` was called
   */
  broadcastOf(after: string, stream: object): Extract<Partitioner, { readonly kind: "broadcast" }> {
    const inputs = this.#streams.get(stream)?.inputs ?? [];
    const [first] = inputs;
    if (first?.exchange.kind === "broadcast" && inputs.every(({ exchange }) => exchange.kind === "broadcast"))
      return first.exchange;
    throw new ConfigurationError(
      after,
      `connect after "${after}": takes a stream of the same job behind keyBy or broadcast(), got ${show(stream)}`,
    );
  }

  /**
   * The operator whose side output a stream's author asks for. Its main output may then be left unread: there are
   * operators that only sort records.
   */
  sideOutputOf(stream: object, tag: unknown): string {
    const { inputs, end } = this.#streams.get(stream)!;
    const [input] = inputs;
    const isMain = inputs.length === 1 && input?.output === undefined && input?.exchange.kind === "forward";
    checkTag(end.key, isMain ? this.#operators.get(input.from)?.definition.details.tags : [], tag);
    end.used = true;
    return end.key;
  }

  /** Defines the operators of a loop, whose first one was added. */
  inLoop<T>(id: string, define: () => T): T {
    if (this.#openLoop !== undefined) {
      throw new ConfigurationError(
        id,
        `iterate "${id}": loops cannot be nested, and loop "${this.#openLoop}" is not closed yet; let one begin behind ` +
          "the other's output, or feed the records of both back to one loop",
      );
    }
    this.#openLoop = id;
    const answer = define();
    this.#openLoop = undefined;
    refuseDeferred(answer, id, `iterate "${id}": the function that builds the loop`);
    return answer;
  }

  /** Closes the loop. `answered`: what its author gave as feedback and output. */
  feedBack(id: string, answered: unknown): void {
    if (typeof answered === "object" && answered !== null)
      checkMembers(answered, ["feedback", "output"], `iterate "${id}"`, "member", id);
    const { feedback, output } = (answered ?? {}) as { readonly feedback?: object; readonly output?: object };
    const back = this.#streamOf(id, feedback, "feedback");
    const out = this.#streamOf(id, output, "output");
    if (out.keyed) {
      throw new ConfigurationError(id, `iterate "${id}": output must be a stream, not one that keyBy gave`);
    }
    for (const { from } of back.inputs) this.#checkFeedback(id, from);
    for (const { definition } of this.#operators.values()) {
      const { id: inside, kind, details } = definition;
      if (!(details.emitsAtEnd || details.holdsRecords) || !this.#leadsTo(id, inside)) continue;
      if (!back.inputs.some(({ from }) => this.#leadsTo(inside, from))) continue;
      if (details.holdsRecords) {
        throw new ConfigurationError(
          inside,
          `operator "${inside}": is ${kind} and lies inside loop "${id}": the loop would end while records, or the event ` +
            "time behind them, are still held there; put it in front of the loop or behind its output",
        );
      }
      throw new ConfigurationError(
        inside,
        `operator "${inside}": emits at the end of input (onEnd, onTimer) and lies inside loop "${id}": that would be fed back to a ` +
          "loop that has ended; put it behind the loop's output, or let a machine drop its delays then (endOfInput)",
      );
    }
    back.end.used = true;
    this.#operators.set(id, { ...this.#operators.get(id)!, feedback: back.inputs });
  }

  #checkFeedback(loop: string, from: string): void {
    if (from === loop) {
      throw new ConfigurationError(
        loop,
        `iterate "${loop}": the feedback is the loop itself, every record would come back for ever; feed back what an ` +
          "operator in between lets through",
      );
    }
    if (this.#leadsTo(loop, from)) return;
    throw new ConfigurationError(
      loop,
      `iterate "${loop}": the feedback comes from operator "${from}", which gets no record from this loop; join it with ` +
        "the stream in front of the loop (union) instead",
    );
  }

  #streamOf(loop: string, stream: object | undefined, what: string): Described {
    const described = stream === undefined ? undefined : this.#streams.get(stream);
    if (described !== undefined) return described;
    throw new ConfigurationError(
      loop,
      `iterate "${loop}": the function must answer { feedback, output }, two streams of this job; ${what} is ${show(stream)}`,
    );
  }

  /** Whether records of operator `from` reach operator `to`; those of `from` itself do. */
  #leadsTo(from: string, to: string): boolean {
    const behind = new Set([to]);
    for (const id of behind)
      for (const input of this.#operators.get(id)?.inputs ?? []) behind.add(input.from);
    return behind.has(from);
  }

  /** The operators in front of this one whose event time it gets: up to those that make it. */
  #sameTimeAs(operator: string): ReadonlySet<string> {
    const found = new Set([operator]);
    for (const id of found) {
      const { definition, inputs = [] } = this.#operators.get(id) ?? {};
      if (definition?.details.eventTime === undefined) for (const { from } of inputs) found.add(from);
    }
    return found;
  }

  finish(): readonly JobOperator[] {
    this.#finished = true;
    const operators = [...this.#operators.values()];
    const has = (end: keyof Pick<OperatorDetails, "source" | "sink">) =>
      operators.some(({ definition }) => definition.details[end] !== undefined);
    if (!has("source")) {
      throw new ConfigurationError(
        this.#job,
        `job "${this.#job}" has no source; begin with job.source(id, source)`,
      );
    }
    if (!has("sink")) {
      throw new ConfigurationError(this.#job, `job "${this.#job}" has no sink; end with .sink(id, sink)`);
    }
    for (const operator of operators) this.#checkWatermarks(operator, operators);
    for (const operator of operators) checkTimestamps(operator, this.#operators);
    checkAlignment(operators);
    checkWaits(operators);
    const open = [...this.#streams.values()].map(({ end }) => end).find((end) => !end.used);
    if (open !== undefined) {
      throw new ConfigurationError(open.key, `${open.what} ends nowhere: ${open.needs} must follow`);
    }
    return withDefaultPace(operators);
  }

  #checkWatermarks({ definition: { id, details } }: JobOperator, operators: readonly JobOperator[]): void {
    const { needsWatermarks = false, replayClock } = details;
    if (!needsWatermarks && replayClock === undefined) return;
    const behind = this.#sameTimeAs(id);
    for (const { definition: from } of operators) {
      if (from.details.source === undefined || from.details.eventTime?.watermarks !== undefined) continue;
      if (!behind.has(from.id)) continue;
      if (!needsWatermarks)
        throw new ConfigurationError(
          id,
          `operator "${id}": replayClock "resume" catches up with event time, and source "${from.id}" in front of it has no watermarks: give the source timestamps and watermarks, such as { timestamp: (record) => record.at, watermarks: boundedOutOfOrderness("5 s") }, or leave replayClock out`,
        );
      throw new ConfigurationError(
        id,
        `operator "${id}": works by event time, and source "${from.id}" in front of it has no watermarks: no window ` +
          'would ever end, no value would expire, and what waits for a partner would be kept for ever. Give the source timestamps and watermarks, such as { timestamp: (record) => record.at, watermarks: boundedOutOfOrderness("5 s") }, or assignTimestamps in between',
      );
    }
  }
}

/** Sources that wait for each other must agree on how far they may be apart. */
function checkAlignment(operators: readonly JobOperator[]): void {
  const first = new Map<string, { readonly id: string; readonly alignment: SourceAlignment }>();
  for (const { definition } of operators) {
    const { id, details } = definition;
    const { alignment } = details.eventTime ?? {};
    if (alignment === undefined) continue;
    const { group, maxDriftMs, intervalMs, whileBehind } = alignment;
    const known = first.get(group) ?? { id, alignment };
    first.set(group, known);
    const { maxDriftMs: maxDrift, intervalMs: interval } = known.alignment;
    if (known.alignment.whileBehind !== whileBehind)
      throw new ConfigurationError(
        id,
        `operator "${id}": alignment: source "${known.id}" is in group "${group}", too, with another whileBehind; give both ` +
          "the same, or leave it out of both",
      );
    if (maxDrift === maxDriftMs && interval === intervalMs) continue;
    throw new ConfigurationError(
      id,
      `operator "${id}": alignment: source "${known.id}" is in group "${group}", too, with another maxDrift or interval ` +
        `(${maxDrift} ms and ${interval} ms there, ${maxDriftMs} ms and ${intervalMs} ms here); give both the same`,
    );
  }
}
