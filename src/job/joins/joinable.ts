/** The methods of a keyed stream that bring it together with another one. */
import type { Key } from "../../state/descriptor.ts";
import type { KeyedStream } from "../keyed-stream.ts";
import type { Stream } from "../stream.ts";
import { BroadcastConnectedStream, type BroadcastStreams } from "./broadcast-connected.ts";
import { ConnectedStreams } from "./connected-streams.ts";
import { IntervalJoin, type JoinedStreams } from "./interval-join.ts";
import { VersionedJoin, type VersionedJoinOptions } from "./versioned-join.ts";
import { CoGroup, WindowJoin } from "./window-join.ts";

export abstract class Joinable<T, K extends Key> {
  /** @throws ConfigurationError when `other` is no keyed stream of the same job */
  protected abstract joinedWith(method: string, other: KeyedStream<unknown, K>): JoinedStreams;

  /** @throws ConfigurationError when `other` is no stream of the same job behind `broadcast()` */
  protected abstract connectedTo(other: Stream<unknown>): BroadcastStreams;

  /** One operator for the records of both streams, with state and timers that are those of the key. */
  connect<Second>(second: KeyedStream<Second, K>): ConnectedStreams<T, Second, K>;
  /** The same with a stream of which every subtask gets all records: `connect(rules.broadcast())`. */
  connect<Broadcast>(broadcast: Stream<Broadcast>): BroadcastConnectedStream<T, Broadcast, K>;
  connect(other: KeyedStream<unknown, K> | Stream<unknown>): unknown {
    // Keyed streams have no `broadcast`.
    return (other as Partial<Stream<unknown>> | undefined)?.broadcast === undefined
      ? new ConnectedStreams(this.joinedWith("connect", other as KeyedStream<unknown, K>))
      : new BroadcastConnectedStream(this.connectedTo(other as Stream<unknown>));
  }

  /** Pairs of a record of this stream (left) and one of `right`, of one key and not too far apart in event time. */
  intervalJoin<Right>(right: KeyedStream<Right, K>): IntervalJoin<T, Right, K> {
    return new IntervalJoin(this.joinedWith("intervalJoin", right as KeyedStream<unknown, K>));
  }

  /** Pairs of a record of this stream (left) and one of `right`, of one key and in one window. */
  join<Right>(right: KeyedStream<Right, K>): WindowJoin<T, Right, K> {
    return new WindowJoin(this.joinedWith("join", right as KeyedStream<unknown, K>));
  }

  /** The records of this stream (left) and of `right` that lie in one window of their key, side by side. */
  coGroup<Right>(right: KeyedStream<Right, K>): CoGroup<T, Right, K> {
    return new CoGroup(this.joinedWith("coGroup", right as KeyedStream<unknown, K>));
  }

  /** Each record of this stream with the one of `build` that was the newest of its key at its time. */
  versionedJoin<Build, ProbeTag extends string = never, BuildTag extends string = never>(
    build: KeyedStream<Build, K>,
    options?: VersionedJoinOptions<ProbeTag, BuildTag>,
  ): VersionedJoin<T, Build, K, ProbeTag, BuildTag> {
    const streams = this.joinedWith("versionedJoin", build as KeyedStream<unknown, K>);
    return new VersionedJoin(streams, options);
  }
}
