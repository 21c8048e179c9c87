/**
 * The texts of Nexmark's events. They carry no meaning and only have to be as long as they are.
 *
 * A shortcut: a text is cut out of one long text, at the beginning of one of its pieces of six letters. So it costs one
 * random number, whatever its length.
 */
import { type Random, randomOf } from "../../connectors/seeded-random.ts";

const LETTERS = "abcdefghijklmnopqrstuvwxyz ";
const PIECES = 65_536;
const PIECE_LETTERS = 6;
/** The longest text that can begin at the last piece. */
const LENGTH_MAX = 1024;

const LONG_TEXT = longText();

function longText(): string {
  const random = randomOf(1, 0);
  const letters = Buffer.alloc(PIECES * PIECE_LETTERS + LENGTH_MAX);
  for (let i = 0; i < letters.length; i++) letters[i] = LETTERS.charCodeAt(below(LETTERS.length, random));
  return letters.toString("latin1");
}

/** A whole number from 0 on and below `end`. */
export function below(end: number, random: Random): number {
  return Math.floor(random() * end);
}

/** A text of so many letters, at most 1024. */
export function textOf(length: number, random: Random): string {
  const begin = below(PIECES, random) * PIECE_LETTERS;
  return LONG_TEXT.slice(begin, begin + length);
}

/** A text of 3 letters or more, and less than `lengthMax`. */
export function shortText(lengthMax: number, random: Random): string {
  return textOf(3 + below(lengthMax - 3, random), random);
}

/** What brings an event of `size` bytes to about `averageSize`, give or take a fifth of what it lacks. */
export function padding(size: number, averageSize: number, random: Random): string {
  const lacking = averageSize - size;
  if (lacking <= 0) return "";
  const delta = Math.round(lacking * 0.2);
  return textOf(lacking - delta + below(2 * delta, random), random);
}

export function oneOf(texts: readonly string[], random: Random): string {
  return texts[below(texts.length, random)]!;
}

export const CITIES: readonly string[] = [
  "Phoenix",
  "Los Angeles",
  "San Francisco",
  "Boise",
  "Portland",
  "Bend",
  "Redmond",
  "Seattle",
  "Kent",
  "Cheyenne",
];
export const STATES: readonly string[] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

const FIRST_NAMES = "Peter Paul Luke John Saul Vicky Kate Julie Sarah Deiter Walter".split(" ");
const LAST_NAMES = "Shultz Abrams Spencer White Bartels Walton Smith Jones Noris".split(" ");
export const NAMES: readonly string[] = FIRST_NAMES.flatMap((first) =>
  LAST_NAMES.map((last) => `${first} ${last}`),
);

/** Where a bid comes from. */
export interface Channel {
  readonly channel: string;
  readonly url: string;
}

export const HOT_CHANNELS: readonly Channel[] = ["Google", "Facebook", "Baidu", "Apple"].map(
  (channel, i) => ({ channel, url: urlOf(i, false) }),
);
export const CHANNELS: readonly Channel[] = Array.from({ length: 10_000 }, (_, i) => ({
  channel: `channel-${i}`,
  url: urlOf(HOT_CHANNELS.length + i, true),
}));

function urlOf(index: number, mayNameChannel: boolean): string {
  const random = randomOf(2, index);
  const folder = () => textOf(5, random).replaceAll(" ", "_");
  const base = `https://www.nexmark.com/${folder()}/${folder()}/${folder()}/item.htm?query=1`;
  return mayNameChannel && random() < 0.9 ? `${base}&channel_id=${below(2 ** 31, random)}` : base;
}

const FOUR_DIGITS = Array.from({ length: 10_000 }, (_, i) => String(i).padStart(4, "0"));

/** Four times four digits. */
export function creditCard(random: Random): string {
  return `${oneOf(FOUR_DIGITS, random)} ${oneOf(FOUR_DIGITS, random)} ${oneOf(FOUR_DIGITS, random)} ${oneOf(FOUR_DIGITS, random)}`;
}
