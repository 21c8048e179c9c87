/** What a source or sink of one's own needs: contracts, ready shapes, errors. `import … from "tidemark/connect"`. */

export type { ObjectHandle } from "./checkpoint/storage.ts";
export type { MarkerKey, StagedTransaction, TransactionTarget } from "./connectors/transactions/target.ts";
export type { TransactionalSinkDefinition } from "./connectors/transactions/transactional-sink.ts";
export { transactionalSink } from "./connectors/transactions/transactional-sink.ts";
export type { ConnectorEnvironment, Logger, SubtaskEnvironment } from "./dataflow/connector.ts";
export type {
  Committable,
  InheritedFrom,
  PreparingTransaction,
  Sink,
  SinkEnvironment,
  SinkGuarantee,
  SinkTarget,
  SinkWriter,
  StagingArea,
} from "./dataflow/sink.ts";
export type {
  Collect,
  PollStatus,
  Skipped,
  Source,
  SourceReader,
  SourceSplit,
  SplitPosition,
} from "./dataflow/source.ts";
export { NO_TIMESTAMP } from "./dataflow/source.ts";
export type { MarkerExpectation, MarkerPosition } from "./dataflow/transaction-marker.ts";
export {
  assertKnownOwner,
  assertStillOwned,
  memoryOf,
  missingMarker,
  partsCommitted,
  signature,
  takeOver,
} from "./dataflow/transaction-marker.ts";
export type { TroubleWatch, TroubleWatcher } from "./dataflow/trouble.ts";
export {
  CommitRefusedError,
  ConfigurationError,
  EnvironmentError,
  FencedError,
  MarkerMovedError,
  ObjectCorruptError,
  ObjectMissingError,
  RecordRefusedError,
  TargetUnavailableError,
  TidemarkError,
  UnknownOutcomeError,
} from "./errors.ts";
export type {
  MarkerMemory,
  MarkerOwner,
  TransactionMarker,
} from "./formats/transactions/transaction-marker.ts";
export { encodeMarker, parseMarker, parseMarkerMemory } from "./formats/transactions/transaction-marker.ts";
