/** A job as its author described it: operators and how they are joined, before parallelism and chaining. */
import type { JobOptions } from "../config/options.ts";
import type { Partitioner } from "../dataflow/graph.ts";
import type { OperatorDefinition } from "../dataflow/operators/contract.ts";

export interface OperatorInput {
  /** Id of the operator whose records come in. */
  readonly from: string;
  /** The tag of the output that they leave it by. Default: the main one. */
  readonly output?: string;
  /** The port that they come in at, an index. Default: 0. */
  readonly port?: number;
  readonly exchange: Partitioner;
}

export interface JobOperator {
  readonly definition: OperatorDefinition;
  /** The inputs: none for a source; several after a union, or where the operator has several ports. */
  readonly inputs: readonly OperatorInput[];
  /** What is fed back to the beginning of a loop, by operators that are defined later. */
  readonly feedback?: readonly OperatorInput[];
  /** The operator's own parallelism; undefined: the job's. */
  readonly parallelism: number | undefined;
}

/** Well known, so that a job made by another copy of this package can be told from something that is no job at all. */
const mark = Symbol.for("tidemark.job");

/** What a job file exports by default. Made by `defineJob`. */
export class Job {
  readonly [mark] = true;
  /** The first argument of `defineJob`: the job's name in commands, subjects and buckets. */
  readonly name: string;
  /** The options as the job's code gives them. */
  readonly options: JobOptions;
  /** The operators in the order of definition: inputs come before the operators that read them. */
  readonly operators: readonly JobOperator[];

  constructor(name: string, options: JobOptions, operators: readonly JobOperator[]) {
    this.name = name;
    this.options = options;
    this.operators = operators;
  }
}

export function isJobOfAnotherCopy(value: unknown): boolean {
  return typeof value === "object" && value !== null && mark in value && !(value instanceof Job);
}
