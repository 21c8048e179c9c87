/**
 * The stranger: one more connection of the account, which hears all that the processes of the job say to each other and
 * talks into it, so many times a second.
 *
 * Owns: what is sent, when and where, drawn from the seed and from what was heard. Does not own: what becomes of bytes
 * (mutations.ts) and what is forged (forgeries.ts).
 */
import { createWriteStream, type WriteStream } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { sealOf } from "../../src/control/seal.ts";
import type { Random } from "../chaos/random.ts";
import { type Fields, forgedAnswer, forgedRequest, type Known, REQUEST_TYPES } from "./forgeries.ts";
import { bytesOf, fieldsIn, MUTATIONS, type Mutation, mutated } from "./mutations.ts";

interface Heard {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly reply: string | undefined;
}

/** Whom a message goes to, by its subject. */
type Room =
  | "control"
  /** What clients ask there: rare, and never forgotten, so that it comes again in a later life of the job. */
  | "client"
  | "leader"
  | "workers"
  | "coordinator"
  | "worker"
  | "channel"
  | "channel-credit"
  | "inbox";
type Deed = `${Room} ${Mutation}` | `forged ${string}` | "forged answer" | "replayed answer";

const ROOMS: readonly Room[] = [
  ...([
    "control",
    "client",
    "leader",
    "workers",
    "coordinator",
    "worker",
    "channel",
    "channel-credit",
    "inbox",
  ] as const),
];
const HEARD_MAX = 200;
const INBOXES_MAX = 1000;
const LAST_MAX = 25;
const SHOWN_BYTES = 160;
const TURN_MS = 25;
const DELAY_MS_MAX = 5000;

export class Stranger {
  readonly counts: Record<string, number> = {};
  /** What was sent last, in words, oldest first. */
  readonly last: string[] = [];
  messages = 0;
  readonly #connection: NatsConnection;
  readonly #random: Random;
  readonly #prefix: string;
  readonly #only: string;
  readonly #file: WriteStream;
  readonly #heard = new Map<Room, Heard[]>(ROOMS.map((room) => [room, []]));
  readonly #inboxes = new Set<string>();
  readonly #delayed = new Set<NodeJS.Timeout>();
  #answersDue = 0;
  #known: Known;

  private constructor(connection: NatsConnection, options: StrangerOptions) {
    const { random, job, prefix = "tidemark", only = "", directory } = options;
    this.#connection = connection;
    this.#random = random;
    this.#prefix = prefix;
    this.#only = only;
    this.#file = createWriteStream(join(directory, "sent.jsonl"));
    this.#known = { job, generation: 1, checkpointId: 1, worker: "stranger" };
  }

  static async connect(options: StrangerOptions): Promise<Stranger> {
    const connection = await connect({ servers: options.url, name: "stranger", noEcho: true });
    const stranger = new Stranger(connection, options);
    const callback = (error: Error | null, message: Msg): void => {
      if (error === null) stranger.#hear(message);
    };
    connection.subscribe(`${stranger.#prefix}.>`, { callback });
    connection.subscribe("_INBOX.>", { callback });
    await connection.flush();
    return stranger;
  }

  /** Until `isOver`. A machine that is too busy for the rate gets what it can bear: turns are not made up for. */
  async talk(perSecond: number, isOver: () => boolean): Promise<void> {
    let sentMs = performance.now();
    let due = 0;
    while (!isOver()) {
      await sleep(TURN_MS);
      const nowMs = performance.now();
      due += (Math.min(nowMs - sentMs, 10 * TURN_MS) * perSecond) / 1000;
      sentMs = nowMs;
      for (; due >= 1; due--) this.#act();
    }
    for (const timer of this.#delayed) clearTimeout(timer);
    await this.#connection.flush();
  }

  async close(): Promise<void> {
    this.#file.end();
    await this.#connection.close();
  }

  #hear({ subject, data, reply }: Msg): void {
    const place = this.#roomOf(subject);
    if (place === undefined) return;
    const isOfClient = place === "control" && String(fieldsIn(data)?.type).startsWith("job.");
    const room = isOfClient ? "client" : place;
    const message = { subject, body: Buffer.from(data), reply: reply || undefined };
    const heard = this.#heard.get(room)!;
    heard.push(message);
    if (heard.length > HEARD_MAX) heard.shift();
    if (room !== "inbox") this.#learn(room, message);
  }

  #learn(room: Room, { subject, body, reply }: Heard): void {
    const tokens = subject.slice(this.#prefix.length + 1).split(".");
    if (room === "workers") this.#known = { ...this.#known, worker: tokens[1]! };
    const generation = Number(tokens[1]);
    if (tokens[0] === this.#known.job && generation > this.#known.generation)
      this.#known = { ...this.#known, generation };
    const checkpointId = room.startsWith("channel") ? undefined : fieldsIn(body)?.checkpointId;
    if (typeof checkpointId === "number") this.#known = { ...this.#known, checkpointId };
    if (reply === undefined) return;
    if (this.#inboxes.size > INBOXES_MAX) this.#inboxes.clear();
    this.#inboxes.add(reply);
    if (this.#answersDue === 0) return;
    this.#answersDue--;
    this.#answer(reply);
  }

  /** Where the subject leads to; undefined: it is not of the job. */
  #roomOf(subject: string): Room | undefined {
    if (this.#inboxes.has(subject)) return "inbox";
    const [first, second, third] = subject.slice(this.#prefix.length + 1).split(".");
    if (!subject.startsWith(`${this.#prefix}.`)) return undefined;
    if (first === "workers" || first === "leader") return first;
    if (second === "control") return second;
    return ROOMS.find((room) => room === third);
  }

  #act(): void {
    const kind = this.#random.next();
    if (kind < 0.35) this.#forge();
    else if (kind < 0.45) this.#answersDue = Math.min(this.#answersDue + 1, 10);
    else this.#repeat();
  }

  #forge(): void {
    const type = this.#random.pick(REQUEST_TYPES);
    const fits = this.#subjectsOf(roomFor(type));
    const all = ROOMS.filter((room) => room !== "inbox").flatMap((room) => this.#subjectsOf(room));
    const subjects = fits.length > 0 && this.#random.next() < 0.85 ? fits : all;
    if (subjects.length === 0) return;
    const message = forgedRequest(this.#random, this.#known, type);
    const subject = this.#random.pick(subjects);
    this.#send(`forged ${type}`, subject, this.#sealed(subject, message), this.#replyTo());
  }

  /** Now and then with the seal of the secret that it tells itself, as a client's request has it. */
  #sealed(subject: string, message: Fields): Uint8Array {
    const content = bytesOf({ message });
    const { secret } = message;
    if (typeof secret !== "string" || this.#random.next() < 0.3) return content;
    return bytesOf({ seal: sealOf(secret, subject, content), content });
  }

  #answer(reply: string): void {
    const heard = this.#heard.get("inbox")!;
    const replayed = heard.length > 0 && this.#random.next() < 0.3;
    // Whole answers are for other requests: this one's has not come yet.
    if (replayed) this.#send("replayed answer", reply, this.#random.pick(heard).body, undefined);
    else this.#send("forged answer", reply, bytesOf({ message: forgedAnswer(this.#random) }), undefined);
  }

  #repeat(): void {
    const room = this.#random.pick(ROOMS.filter((one) => this.#heard.get(one)!.length > 0));
    const heard = this.#heard.get(room);
    if (heard === undefined) return;
    const message = this.#random.pick(heard);
    const mutation = this.#random.pick(MUTATIONS);
    const body = mutated(this.#random, mutation, message.body, room.startsWith("channel"));
    const subject = this.#random.next() < 0.8 ? message.subject : this.#random.pick(this.#subjectsOf(room));
    const reply = message.reply === undefined ? undefined : this.#replyTo(message.reply);
    const send = (): void => this.#send(`${room} ${mutation}`, subject, body, reply);
    if (mutation === "delay") this.#later(send);
    else send();
  }

  #later(send: () => void): void {
    const timer = setTimeout(
      () => {
        this.#delayed.delete(timer);
        send();
      },
      this.#random.between(50, DELAY_MS_MAX),
    );
    this.#delayed.add(timer);
  }

  #subjectsOf(room: Room): string[] {
    return [...new Set(this.#heard.get(room)!.map(({ subject }) => subject))];
  }

  /** An inbox of the stranger's own, that of another process, or none. */
  #replyTo(heard?: string): string | undefined {
    return this.#random.pick([undefined, "_INBOX.stranger", heard]);
  }

  #send(deed: Deed, subject: string, body: Uint8Array, reply: string | undefined): void {
    if (!deed.includes(this.#only)) return;
    this.messages++;
    this.counts[deed] = (this.counts[deed] ?? 0) + 1;
    this.#connection.publish(subject, body, reply === undefined ? {} : { reply });
    const shown = Buffer.from(body.subarray(0, SHOWN_BYTES));
    const line = { at: new Date().toISOString(), deed, subject, reply, bytes: body.length };
    const text =
      fieldsIn(body) === undefined ? shown.toString("hex") : JSON.stringify(shown.toString("latin1"));
    this.#file.write(
      `${JSON.stringify({ ...line, hex: Buffer.from(body.subarray(0, 2048)).toString("hex") })}\n`,
    );
    this.last.push(`${line.at.slice(11)} ${deed} to ${subject}, ${body.length} bytes: ${text}`);
    if (this.last.length > LAST_MAX) this.last.shift();
  }
}

export interface StrangerOptions {
  readonly url: string;
  readonly random: Random;
  readonly job: string;
  readonly prefix?: string;
  /** Sends only the kinds whose name has this text: to find the one that does harm. Default: all. */
  readonly only?: string | undefined;
  /** What was sent goes into a file there. */
  readonly directory: string;
}

function roomFor(type: (typeof REQUEST_TYPES)[number]): Room {
  if (type === "standby.prove") return "leader";
  if (type === "worker.ping" || type === "generation.deploy" || type === "generation.teardown")
    return "workers";
  if (type.startsWith("subtask.")) return "coordinator";
  return /^(generation|drain|checkpoint)\./.test(type) ? "worker" : "control";
}
