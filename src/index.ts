/** The public API: what a job file and a service that embeds Tidemark need. */

export type {
  CheckpointStorage,
  ObjectHandle,
  OpenCheckpointStorage,
  StorageRequest,
  StoredObject,
} from "./checkpoint/storage.ts";
export type {
  ChannelOptions,
  CheckpointingOptions,
  HeartbeatOptions,
  JobOptions,
  RestartOptions,
  StoragePlace,
} from "./config/options.ts";
export type { Duration, Size } from "./config/quantity.ts";
export type { FileSinkOptions } from "./connectors/file-sink.ts";
export { fileSink } from "./connectors/file-sink.ts";
export type { FileSourceOptions } from "./connectors/files/source.ts";
export { fileSource } from "./connectors/files/source.ts";
export type { GeneratorSourceOptions } from "./connectors/generator-source.ts";
export { generatorSource } from "./connectors/generator-source.ts";
export type { JetStreamSinkOptions } from "./connectors/jetstream/sink.ts";
export { jetstreamSink } from "./connectors/jetstream/sink.ts";
export type { JetStreamSourceOptions } from "./connectors/jetstream/source.ts";
export { jetstreamSource } from "./connectors/jetstream/source.ts";
export type { MysqlConnection, MysqlConnectionOptions } from "./connectors/mysql/session.ts";
export type { MysqlSinkOptions } from "./connectors/mysql/sink.ts";
export { mysqlSink } from "./connectors/mysql/sink.ts";
export type { NatsSourceOptions } from "./connectors/nats/source.ts";
export { natsSource } from "./connectors/nats/source.ts";
export type { PostgresConnection, PostgresConnectionOptions } from "./connectors/postgres/session.ts";
export type { PostgresSinkOptions } from "./connectors/postgres/sink.ts";
export { postgresSink } from "./connectors/postgres/sink.ts";
export type { ColumnValue, TableOptions } from "./connectors/sql/row-mapping.ts";
export type { FailedRequest } from "./dataflow/operators/async/async.ts";
export type { RequestContext } from "./dataflow/operators/async/call.ts";
export type { JoinContext } from "./dataflow/operators/joins/pair-context.ts";
export type { SidedLateRecord } from "./dataflow/operators/joins/window-join.ts";
export type { ContextTimers } from "./dataflow/operators/keyed/context-timers.ts";
export type { Timer } from "./dataflow/operators/keyed/process.ts";
export type { OpenContext } from "./dataflow/operators/lifecycle.ts";
export type {
  AboutRecord,
  ActorView,
  EventOrigin,
  MachineEffect,
  RefusedEvent,
} from "./dataflow/operators/machines/definition.ts";
export type { LateRecord } from "./dataflow/operators/windows/late-records.ts";
export type { Change } from "./dataflow/operators/windows/triggered/retractions.ts";
export type {
  TriggerContext,
  TriggerResult,
  TriggerState,
  TriggerTimer,
  WindowTrigger,
} from "./dataflow/operators/windows/triggered/trigger.ts";
export type { Window, WindowContext, WindowFiring } from "./dataflow/operators/windows/window-output.ts";
export type { Committable, InheritedFrom, PreparingTransaction, Sink, SinkWriter } from "./dataflow/sink.ts";
export type {
  Collect,
  PollStatus,
  Source,
  SourceReader,
  SourceSplit,
  SplitPosition,
} from "./dataflow/source.ts";
export { NO_TIMESTAMP } from "./dataflow/source.ts";
export type { WatermarkGenerator, WatermarkStrategy } from "./dataflow/time/watermarks.ts";
export {
  ConfigurationError,
  EnvironmentError,
  MarkerMovedError,
  ObjectCorruptError,
  ObjectMissingError,
  OperatorError,
  RecordRefusedError,
  RequestRefusedError,
  StorageRefusedError,
  StorageStalledError,
  TidemarkError,
} from "./errors.ts";
export type { AsyncDefinition, AsyncRetries } from "./job/async/definition.ts";
export type {
  FunctionOptions,
  IterateOptions,
  JobBuilder,
  OperatorOptions,
  SourceOptions,
} from "./job/builder.ts";
export { defineJob } from "./job/builder.ts";
export { loadJob } from "./job/code/load.ts";
export type { CombineOptions } from "./job/functions/combine.ts";
export type { Expired, KeyedContext, NoStates } from "./job/functions/process.ts";
export { type } from "./job/functions/type-witness.ts";
export { Job } from "./job/job.ts";
export type { BroadcastOptions, BroadcastRecordContext } from "./job/joins/broadcast-connected.ts";
export type { CoProcessDefinition } from "./job/joins/connected-streams.ts";
export type { IntervalOptions } from "./job/joins/interval-join.ts";
export type { VersionedJoinOptions } from "./job/joins/versioned-join.ts";
export type { KeyedStream } from "./job/keyed-stream.ts";
export type { MachineDefinition, MachineOptions } from "./job/machines/definition.ts";
export type { Iteration, Stream } from "./job/stream.ts";
export type { AlignmentOptions, AssignedTimestamps } from "./job/time/source-options.ts";
export { ascendingTimestamps, boundedOutOfOrderness, punctuatedWatermarks } from "./job/time/watermarks.ts";
export type {
  CalendarWindowsOptions,
  CountWindowsOptions,
  CumulateWindowsOptions,
  SessionWindowsOptions,
  SlidingWindowsOptions,
  TumblingWindowsOptions,
  WindowAssigner,
  WindowTime,
} from "./job/windows/assigners.ts";
export {
  calendarWindows,
  countWindows,
  cumulateWindows,
  globalWindows,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
} from "./job/windows/assigners.ts";
export type { WindowOptions } from "./job/windows/options.ts";
export type { CountTriggerOptions } from "./job/windows/triggers.ts";
export {
  continuousEventTimeTrigger,
  continuousProcessingTimeTrigger,
  countTrigger,
  eventTimeTrigger,
  processingTimeTrigger,
  purgingTrigger,
} from "./job/windows/triggers.ts";
export type { WindowedStream, WindowFunction } from "./job/windows/windowed-stream.ts";
export type { BroadcastState, ReadOnlyBroadcastState } from "./state/broadcast-state.ts";
export { broadcastState } from "./state/broadcast-state.ts";
export type { KeyedBackend, KeyedBackendOptions } from "./state/contract.ts";
export type {
  AggregateFunction,
  AggregatingState,
  Key,
  ListState,
  MapKey,
  MapState,
  ReducingState,
  StateOptions,
  ValueState,
} from "./state/descriptor.ts";
export { aggregatingState, listState, mapState, reducingState, valueState } from "./state/descriptor.ts";
export { DiskBackend } from "./state/disk/backend.ts";
export { RowCache } from "./state/disk/row-cache.ts";
export type { RowStore } from "./state/disk/store/row-store.ts";
export { HeapBackend } from "./state/heap/backend.ts";
export type { OpenBackend } from "./state/keyed-state.ts";
export type { OperatorListState } from "./state/operator-state.ts";
export { operatorListState, operatorUnionState } from "./state/operator-state.ts";
export type { TtlOptions } from "./state/ttl/time-to-live.ts";
export type { StateMigrations } from "./state/versions/state-version.ts";
