/** What the examples must answer, by plain loops over what they read. */
import type { Alert } from "../../../src/examples/earthquakes/job.ts";
import { type Report, readReports } from "../../../src/examples/earthquakes/reports.ts";
import {
  type Payment as CardPayment,
  PAYMENTS,
  paymentAt,
  RULES,
  ruleAt,
} from "../../../src/examples/fraud/job.ts";
import { VIEWS, type View, viewAt } from "../../../src/examples/live-rooms/job.ts";
import * as shop from "../../../src/examples/orders/job.ts";
import type { Input } from "../../../src/examples/word-count/input.ts";

const MINUTE_MS = 60_000;

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

export function liveRooms(): { visitors: unknown[]; views: unknown[]; late: View[] } {
  const visitors = new Map<string, { room: string; end: number; users: Set<string> }>();
  const views = new Map<string, { room: string; end: number; views: number }>();
  const late: View[] = [];
  let watermark = Number.NEGATIVE_INFINITY;
  for (const view of numbers(VIEWS).map(viewAt)) {
    const { room, user, at } = view;
    const end = endOf(at, 5 * MINUTE_MS);
    if (end - 1 <= watermark) late.push(view);
    else {
      const window = visitors.get(`${room} ${end}`) ?? { room, end, users: new Set() };
      window.users.add(user);
      visitors.set(`${room} ${end}`, window);
    }
    const minute = endOf(at, MINUTE_MS);
    if (minute - 1 > watermark) {
      const window = views.get(`${room} ${minute}`) ?? { room, end: minute, views: 0 };
      window.views++;
      views.set(`${room} ${minute}`, window);
    }
    watermark = Math.max(watermark, at - 20_000 - 1);
  }
  const counted = [...visitors.values()].map(({ room, end, users }) => ({ room, end, visitors: users.size }));
  return { visitors: counted, views: [...views.values()], late };
}

/** Each report is held against what came in before it; an alert may be raised again for each one that is late. */
export function earthquakes(): { alerts: Alert[]; late: Report[] } {
  interface SixHours extends Alert {
    quakes: number;
    strongest: number;
    revision: number;
  }
  const open = new Map<string, SixHours>();
  const alerts: Alert[] = [];
  const late: Report[] = [];
  const look = (one: SixHours): void => {
    one.revision++;
    if (one.strongest >= 4.5 || one.quakes >= 10) alerts.push({ ...one });
  };
  let watermark = Number.NEGATIVE_INFINITY;
  for (const report of [...readReports(), undefined]) {
    if (report !== undefined) {
      const { region, time, magnitude } = report;
      const end = endOf(time, 6 * 60 * MINUTE_MS);
      if (end - 1 + 24 * 60 * MINUTE_MS <= watermark) late.push(report);
      else {
        const hours = `${region} ${end}`;
        const one = open.get(hours) ?? { region, end, quakes: 0, strongest: -99, revision: -1 };
        open.set(hours, one);
        one.quakes++;
        one.strongest = Math.max(one.strongest, magnitude);
        if (end - 1 <= watermark) look(one);
      }
      watermark = Math.max(watermark, time - 60 * MINUTE_MS - 1);
    } else watermark = Number.POSITIVE_INFINITY;
    for (const one of open.values()) if (one.revision < 0 && one.end - 1 <= watermark) look(one);
  }
  return { alerts, late };
}

const endOf = (at: number, sizeMs: number): number => at - (at % sizeMs) + sizeMs;

export function alarms(): unknown[] {
  const found: unknown[] = [];
  const rules = numbers(RULES).map(ruleAt);
  const small = new Map<string, { until: number }>();
  const payments = numbers(PAYMENTS).map(paymentAt);
  for (const payment of payments.sort((a, b) => a.at - b.at || a.id - b.id)) {
    const rule = rules.filter(({ from }) => from <= payment.at).at(-1);
    if (rule === undefined) continue;
    const { id, card, amount, at }: CardPayment = payment;
    const before = small.get(card);
    small.delete(card);
    if (before !== undefined && at < before.until && amount > rule.large) {
      found.push({ payment: id, card, rule: rule.from });
    }
    if (amount < rule.small) small.set(card, { until: at + rule.withinMs });
  }
  return found;
}

/** None of the clicks is late: they are less out of order than the source allows. */
export function sessions(): unknown[] {
  const timesOf = new Map<string, number[]>();
  for (const { user, at } of numbers(shop.CLICKS).map(shop.clickAt)) {
    timesOf.set(user, [...(timesOf.get(user) ?? []), at]);
  }
  return [...timesOf].flatMap(([user, times]) => {
    const found: { user: string; start: number; end: number; clicks: number }[] = [];
    for (const at of times.sort((a, b) => a - b)) {
      const last = found.at(-1);
      if (last !== undefined && at <= last.end) {
        last.end = at + 30_000;
        last.clicks++;
      } else found.push({ user, start: at, end: at + 30_000, clicks: 1 });
    }
    return found;
  });
}

export function paid(): unknown[] {
  const payments = numbers(shop.ORDERS).map(shop.paymentAt);
  return numbers(shop.ORDERS)
    .map(shop.orderAt)
    .flatMap((order) =>
      payments
        .filter(({ order: id, at }) => id === order.id && at >= order.at && at <= order.at + 2 * MINUTE_MS)
        .map(({ amount, at }) => ({ order: order.id, amount, paidAfterMs: at - order.at })),
    );
}

/** The words of these sentences, counted. */
export function wordsOf(sentences: readonly string[]): Input {
  const counts = new Map<string, number>();
  const words = sentences
    .join(" ")
    .toLowerCase()
    .split(/[^\p{L}]+/u)
    .filter((word) => word !== "");
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return { sentences, counts, words: words.length };
}
