/**
 * Fraud: a small payment that is followed by a large one of the same card raises an alarm. What is small and large, and
 * how soon one must follow the other, is said by rules that change while the job runs.
 *
 * A payment is judged when event time has come to it. By then all rules up to that time are there, so the alarms do not
 * depend on whether a rule or a payment arrived first.
 */
import {
  ascendingTimestamps,
  boundedOutOfOrderness,
  broadcastState,
  defineJob,
  fileSink,
  generatorSource,
  listState,
  type,
  valueState,
} from "tidemark";

export interface Payment {
  readonly id: number;
  readonly card: string;
  readonly amount: number;
  /** In ms since 1970. */
  readonly at: number;
}

export interface Rule {
  /** The rule holds from this time until the next one does, in ms since 1970. */
  readonly from: number;
  readonly small: number;
  readonly large: number;
  readonly withinMs: number;
}

export interface Alarm {
  readonly payment: number;
  readonly card: string;
  /** The rule by which the payment was judged: its `from`. */
  readonly rule: number;
}

export const PAYMENTS = 2_000;
export const RULES = 8;
const START = Date.UTC(2026, 0, 1);

/** Up to 4 s out of order. */
export function paymentAt(id: number): Payment {
  const at = START + id * 1_000 - ((id * 3) % 5) * 1_000;
  return { id, card: `card-${(id * 7) % 13}`, amount: (id * 137) % 1_000, at };
}

export function ruleAt(index: number): Rule {
  return {
    from: START - 10_000 + index * 250_000,
    small: 100 + index * 10,
    large: 700 - index * 20,
    withinMs: 20_000 + index * 10_000,
  };
}

export default defineJob("fraud", { parallelism: 2, checkpointing: { interval: "500 ms" } }, (job) => {
  const rules = job.source("rules", generatorSource({ count: RULES, ratePerSecond: 2, generate: ruleAt }), {
    timestamp: (rule) => rule.from,
    watermarks: ascendingTimestamps(),
    parallelism: 1,
  });
  job
    .source("payments", generatorSource({ count: PAYMENTS, ratePerSecond: 500, generate: paymentAt }), {
      timestamp: (payment) => payment.at,
      watermarks: boundedOutOfOrderness("5 s"),
      parallelism: 1,
    })
    .keyBy((payment) => payment.card)
    .connect(rules.broadcast())
    .process("alarms", {
      broadcast: { rules: broadcastState<number, Rule>() },
      state: { waiting: listState<Payment>(), smallUntil: valueState(0) },
      output: type<Alarm>(),
      onBroadcast(rule, { broadcast }) {
        broadcast.rules.set(rule.from, rule);
      },
      onRecord(payment, { state, timers }) {
        state.waiting.add(payment);
        timers.registerEventTimer(payment.at);
      },
      onTimer({ time }, { state, broadcast, emit }) {
        const waiting = state.waiting.get();
        state.waiting.set(waiting.filter(({ at }) => at > time));
        const rule = newestOf(broadcast.rules.values(), time);
        if (rule === undefined) return;
        for (const { id, card, amount, at } of waiting.filter((payment) => payment.at <= time)) {
          if (at < state.smallUntil.get() && amount > rule.large)
            emit({ payment: id, card, rule: rule.from });
          if (amount < rule.small) state.smallUntil.set(at + rule.withinMs);
          else state.smallUntil.clear();
        }
      },
    })
    .sink("alarms-out", fileSink({ directory: "alarms" }));
});

/** The newest of the rules that hold at this time. */
function newestOf(rules: Iterable<Rule>, time: number): Rule | undefined {
  let found: Rule | undefined;
  for (const rule of rules) {
    if (rule.from <= time && (found === undefined || rule.from > found.from)) found = rule;
  }
  return found;
}
