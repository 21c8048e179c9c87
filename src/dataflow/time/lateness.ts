/**
 * The late records of one operator in one subtask: how late they came, and now and then an example.
 *
 * Owns: the histogram, and when an example is due. Does not own: which records are late (the operators), where an
 * example is told (the subtask).
 *
 * - LN1 A record is as late as the lateness that would have taken it: so many ms of `allowedLateness`, or watermarks so
 *   much later, and all windows would have had it.
 * - LN2 There are eight buckets to a doubling, so the upper end of one is at most an eighth above what lies in it.
 * - LN3 An example is told of the first record that is not taken, then once a minute, and of the last one at the end.
 */
const TOLD_EVERY_MS = 60_000;
/** What stands, in the upper half of a double, behind the exponent and the first three bits of the fraction. */
const BITS_BEHIND = 17;
const BUCKETS_PER_DOUBLING = 8;
const FIRST_BUCKET = 1023 * BUCKETS_PER_DOUBLING;
const BUCKETS = 53 * BUCKETS_PER_DOUBLING;

const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);
double[0] = 1;
const UPPER = halves[0] === 0 ? 1 : 0;

export interface LatenessFigures {
  /** Records that came when a window of theirs had passed, or that were late for a join. */
  readonly records: number;
  /** Those of them that not all of their windows took, or that met nothing. */
  readonly notTaken: number;
  /** The largest lateness, in ms. */
  readonly maxMs: number;
  /** In ascending order: records whose lateness is up to so many ms, and above the bucket before it. */
  readonly buckets: readonly (readonly [upToMs: number, records: number])[];
}

/** A record that came too late. It may hold what only its owner may read: a log gets its kind, not what it holds. */
export interface LateExample {
  readonly operator: string;
  /** Records that came too late at this subtask since it was opened, and this is one of them. */
  readonly records: number;
  readonly value: unknown;
  /** In ms of event time. */
  readonly timestamp: number;
  readonly watermark: number;
  /** How late it is (LN1). */
  readonly neededMs: number;
  /** undefined: its key could not be told. */
  readonly keyGroup: number | undefined;
}

export interface LatenessOptions {
  readonly operator: string;
  /** Monotonic, in ms. */
  readonly elapsedMs: () => number;
  readonly tell: (example: LateExample) => void;
}

export class Lateness {
  private readonly options: LatenessOptions;
  /** Records by bucket. undefined: no record was late. */
  private buckets: Float64Array | undefined;
  private records = 0;
  private notTaken = 0;
  private maxMs = 0;
  private refused = 0;
  private told = 0;
  private nextMs = Number.NEGATIVE_INFINITY;
  /** The last record that was refused. */
  private value: unknown;
  private timestamp = 0;
  private watermark = 0;
  private neededMs = 0;
  private keyGroupOf: ((value: unknown) => number) | undefined;

  constructor(options: LatenessOptions) {
    this.options = options;
  }

  /** @param neededMs at least 1 (LN1) */
  count(neededMs: number, isTaken: boolean): void {
    if (!Number.isFinite(neededMs)) return;
    this.records++;
    if (!isTaken) this.notTaken++;
    if (neededMs > this.maxMs) this.maxMs = neededMs;
    this.buckets ??= new Float64Array(BUCKETS);
    double[0] = neededMs;
    const bucket = (halves[UPPER]! >>> BITS_BEHIND) - FIRST_BUCKET;
    this.buckets[Math.min(Math.max(bucket, 0), BUCKETS - 1)]!++;
  }

  /** @param keyGroupOf asked only for a record that is told; may throw */
  refuse(
    value: unknown,
    timestamp: number,
    watermark: number,
    neededMs: number,
    keyGroupOf: (value: unknown) => number,
  ): void {
    this.count(neededMs, false);
    this.refused++;
    this.value = value;
    this.timestamp = timestamp;
    this.watermark = watermark;
    this.neededMs = neededMs;
    this.keyGroupOf = keyGroupOf;
    const nowMs = this.options.elapsedMs();
    if (nowMs < this.nextMs) return;
    this.nextMs = nowMs + TOLD_EVERY_MS;
    this.tell();
  }

  /** undefined: no record was late. */
  figures(): LatenessFigures | undefined {
    if (this.buckets === undefined) return undefined;
    const { records, notTaken } = this;
    const maxMs = Math.min(Math.ceil(this.maxMs), Number.MAX_SAFE_INTEGER);
    const buckets: [number, number][] = [];
    for (const [bucket, count] of this.buckets.entries())
      if (count > 0) buckets.push([upToMs(bucket), count]);
    return { records, notTaken, maxMs, buckets };
  }

  /** Nothing more comes. */
  close(): void {
    if (this.refused > this.told) this.tell();
    this.value = undefined;
  }

  private tell(): void {
    const { operator, tell } = this.options;
    const { refused, value, timestamp, watermark, neededMs } = this;
    this.told = refused;
    let keyGroup: number | undefined;
    try {
      keyGroup = this.keyGroupOf!(value);
    } catch {
      // The record is dropped whatever its key is: what is wrong with that must not fail the job.
    }
    tell({ operator, records: refused, value, timestamp, watermark, neededMs, keyGroup });
  }
}

/** The largest whole number of ms in a bucket. */
function upToMs(bucket: number): number {
  const doubling = Math.floor(bucket / BUCKETS_PER_DOUBLING);
  const end = 2 ** doubling * (1 + ((bucket % BUCKETS_PER_DOUBLING) + 1) / BUCKETS_PER_DOUBLING);
  return Math.ceil(end) - 1;
}
