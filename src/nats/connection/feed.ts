/** The event feed on core NATS: at most once, and nothing at all while no process listens or the connection is down. */
import type { Subjects } from "../../dataflow/channel/subjects.ts";
import type { EventFeed, FeedEvent } from "../../observe/feed.ts";
import type { NatsEnvironment } from "./environment.ts";

export function natsEventFeed(environment: NatsEnvironment, subjects: Subjects): EventFeed {
  const encoder = new TextEncoder();
  return {
    publish(event: FeedEvent): void {
      if (environment.connection.isClosed()) return;
      environment.connection.publish(subjects.events(event.job), encoder.encode(JSON.stringify(event)));
    },
  };
}
