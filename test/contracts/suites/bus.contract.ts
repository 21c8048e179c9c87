/** What every message bus does (`src/dataflow/channel/bus.ts`). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Bus, Reply } from "../../../src/dataflow/channel/bus.ts";
import {
  DisconnectedError,
  MessageTooLargeError,
  NoRespondersError,
  RequestTimeoutError,
} from "../../../src/errors.ts";
import { WAIT_BOUND_MS } from "../../support/suite/patience.ts";
import { eventually } from "../../support/until.ts";

export interface BusesUnderTest {
  connect(): Promise<Bus>;
  /** All connections break, none comes back before `endOutage`. */
  beginOutage(): Promise<void>;
  endOutage(): Promise<void>;
  close(): Promise<void>;
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (body: Uint8Array): string => new TextDecoder().decode(body);

export function describeBusContract(name: string, open: () => Promise<BusesUnderTest>): void {
  describe(`bus: ${name}`, () => {
    let buses: BusesUnderTest;
    let near: Bus;
    let far: Bus;

    beforeAll(async () => {
      buses = await open();
      near = await buses.connect();
      far = await buses.connect();
    });
    afterAll(() => buses.close());

    /** Collects what arrives; the subscription is in place when this resolves. */
    async function collect(bus: Bus, subject: string) {
      const received: string[] = [];
      const subscription = bus.subscribe(subject, (body, _reply, of) => {
        received.push(`${of}=${text(body)}`);
      });
      await bus.flush();
      return { received, close: () => subscription.close() };
    }

    it("delivers to every subscriber, in the order of one publisher, never synchronously", async () => {
      const one = await collect(far, "order.a");
      const two = await collect(near, "order.a");
      for (let i = 0; i < 100; i++) near.publish("order.a", bytes(String(i)));
      expect(two.received).toEqual([]);
      const all = Array.from({ length: 100 }, (_, i) => `order.a=${i}`);
      await eventually(() => expect(one.received).toEqual(all));
      expect(two.received).toEqual(all);
      one.close();
      two.close();
    });

    it("matches * with one token and > with one or more", async () => {
      const star = await collect(far, "wild.*.x");
      const rest = await collect(far, "wild.>");
      for (const subject of ["wild", "wild.1.x", "wild.1.2.x", "wild.1.y"]) near.publish(subject, bytes("m"));
      await near.flush();
      await eventually(() => expect(rest.received).toHaveLength(3));
      expect(rest.received).toEqual(["wild.1.x=m", "wild.1.2.x=m", "wild.1.y=m"]);
      expect(star.received).toEqual(["wild.1.x=m"]);
      star.close();
      rest.close();
    });

    it("gives a subscription nothing that was published before it, or after its end", async () => {
      const here = await collect(far, "span");
      near.publish("span", bytes("1"));
      await eventually(() => expect(here.received).toHaveLength(1));
      here.close();
      near.publish("span", bytes("2"));
      await near.flush();
      const late = await collect(far, "span");
      near.publish("span", bytes("3"));
      await eventually(() => expect(late.received).toEqual(["span=3"]));
      expect(here.received).toEqual(["span=1"]);
      late.close();
    });

    it("carries empty and largest bodies; a larger message is lost, a larger request says so", async () => {
      const sizes: number[] = [];
      const subscription = far.subscribe("size", (body) => sizes.push(body.length));
      await far.flush();
      near.publish("size", new Uint8Array(0));
      near.publish("size", new Uint8Array(near.payloadBytesMax));
      await eventually(() => expect(sizes).toEqual([0, near.payloadBytesMax]));
      const tooLarge = new Uint8Array(near.payloadBytesMax + 1);
      near.publish("size", tooLarge);
      await expect(near.request("size", tooLarge, WAIT_BOUND_MS)).rejects.toThrow(MessageTooLargeError);
      near.publish("size", new Uint8Array(1));
      await eventually(() => expect(sizes).toEqual([0, near.payloadBytesMax, 1]));
      subscription.close();
    });

    it("answers requests with the first answer", async () => {
      const subscription = far.subscribe("ask", (body, reply) => {
        reply?.(bytes(`${text(body)}!`));
        reply?.(bytes("second"));
      });
      await far.flush();
      const answers = await Promise.all(
        ["a", "b", "c"].map(async (question) =>
          text(await near.request("ask", bytes(question), WAIT_BOUND_MS)),
        ),
      );
      expect(answers).toEqual(["a!", "b!", "c!"]);
      subscription.close();
    });

    it("waits for the reply that is the answer, and gives up when none is in time", async () => {
      const subscription = far.subscribe("pick", (_body, reply) => {
        for (const said of ["ack", "", "answer", "late"]) reply?.(bytes(said));
      });
      await far.flush();
      const heard: string[] = [];
      const isAnswer = (wanted: string) => (reply: Reply) => {
        heard.push(text(reply.body));
        expect(reply.header("Nats-Service-Error")).toBe("");
        return text(reply.body) === wanted;
      };
      const answer = await near.request("pick", bytes(""), WAIT_BOUND_MS, isAnswer("answer"));
      expect(text(answer)).toBe("answer");
      expect(heard).toEqual(["ack", "", "answer"]);
      await expect(near.request("pick", bytes(""), 300, isAnswer("none"))).rejects.toThrow(
        RequestTimeoutError,
      );
      expect(heard.slice(3)).toEqual(["ack", "", "answer", "late"]);
      subscription.close();
    });

    it("offers a reply only when the sender waits for one", async () => {
      const replies: unknown[] = [];
      const subscription = far.subscribe("tell", (_body, reply) => replies.push(reply));
      await far.flush();
      near.publish("tell", bytes("x"));
      await eventually(() => expect(replies).toEqual([undefined]));
      subscription.close();
    });

    it("says at once that there is no subscriber", async () => {
      await expect(near.request("nobody", bytes(""), WAIT_BOUND_MS)).rejects.toThrow(NoRespondersError);
    });

    it("gives up a request that no subscriber answers in time", async () => {
      const subscription = far.subscribe("silent", () => undefined);
      await far.flush();
      await expect(near.request("silent", bytes(""), 50)).rejects.toThrow(RequestTimeoutError);
      subscription.close();
    });

    it("reports an outage, keeps subscriptions over it and tells of its end", async () => {
      const here = await collect(far, "after");
      const silent = far.subscribe("hanging", () => undefined);
      await far.flush();
      const reconnects: string[] = [];
      near.onReconnect(() => reconnects.push("near"));
      far.onReconnect(() => reconnects.push("far"));
      near.onReconnect(() => reconnects.push("never")).close();
      const underWay = near.request("hanging", bytes(""), WAIT_BOUND_MS);
      underWay.catch(() => undefined);
      await near.flush();
      expect(near.connectedForMs()).toBeGreaterThan(0);

      const beganAt = performance.now();
      await buses.beginOutage();
      await expect(underWay).rejects.toThrow(RequestTimeoutError);
      expect(near.connectedForMs()).toBe(0);
      await expect(near.request("after", bytes(""), WAIT_BOUND_MS)).rejects.toThrow(DisconnectedError);
      await expect(near.flush()).rejects.toThrow(DisconnectedError);
      near.publish("after", bytes("may be lost"));

      await buses.endOutage();
      await eventually(() => expect([...reconnects].sort()).toEqual(["far", "near"]));
      expect(near.connectedForMs()).toBeLessThan(performance.now() - beganAt);
      expect(near.lossLately()).toMatch(/connection of this process .*was lost/);
      near.publish("after", bytes("back"));
      await eventually(() => expect(here.received).toContain("after=back"));
      here.close();
      silent.close();
    });

    it("is silent after close, and leaves other buses alone", async () => {
      const bus = await buses.connect();
      const here = await collect(bus, "closing");
      await bus.close();
      near.publish("closing", bytes("x"));
      await near.flush();
      bus.publish("closing", bytes("y"));
      expect(here.received).toEqual([]);
      await expect(bus.request("closing", bytes(""), 100)).rejects.toThrow(DisconnectedError);
      expect(() => bus.subscribe("closing", () => undefined)).toThrow(DisconnectedError);
      await near.flush();
    });
  });
}
