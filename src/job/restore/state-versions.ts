/** Whether stored values have a form that a job understands: the versions and serializers of its states (P101). */
import type { GraphPlan, KeyedStateHandle, OperatorPlan, VersionPlan } from "../../../machines/protocol.ts";
import { SERIALIZER_IN_WORDS } from "../../state/snapshot/chunk.ts";
import { FIRST_VERSION } from "../../state/versions/state-version.ts";
import { operatorsOf } from "../plan.ts";

/** In what forms values of one state, of keys or without key, are stored. */
export interface StoredForms {
  readonly versions: Set<string>;
  /** What has written them. */
  readonly serializers: Set<string>;
}

export const newForms = (): StoredForms => ({ versions: new Set(), serializers: new Set() });

/** Adds that of some rows. */
export function withForm(
  forms: StoredForms,
  {
    version = FIRST_VERSION,
    serializer = SERIALIZER_IN_WORDS,
  }: Partial<Pick<KeyedStateHandle, "version" | "serializer">>,
): StoredForms {
  forms.versions.add(version);
  forms.serializers.add(serializer);
  return forms;
}

const FIRST: VersionPlan = { version: FIRST_VERSION, migrates: [] };

const versionOf = ({ stateVersions = {} }: OperatorPlan, state: string): VersionPlan =>
  stateVersions[state] ?? FIRST;

/** Why the values cannot be restored, each with what helps. */
export function formProblems(
  state: string,
  { versions, serializers }: StoredForms,
  now: OperatorPlan,
): string[] {
  const foreign = [...serializers].filter((serializer) => serializer !== SERIALIZER_IN_WORDS);
  return [
    ...versionProblems(state, [...versions], now).map(
      (problem) =>
        `${problem}, or give the state another name and drop all state of the operator with --drop ${now.id}`,
    ),
    ...foreign.map(
      (serializer) =>
        `state "${state}" of operator ${now.id} was written by "${serializer}", and this version of Tidemark reads "${SERIALIZER_IN_WORDS}": restore it with the version that wrote it`,
    ),
  ];
}

function versionProblems(state: string, stored: readonly string[], now: OperatorPlan): string[] {
  const { version, migrates } = versionOf(now, state);
  return stored
    .filter((one) => one !== version && !migrates.includes(one))
    .map(
      (one) =>
        `state "${state}" of operator ${now.id} is stored in version "${one}" and has version "${version}" now: give it migrate: { "${one}": (value) => ... }`,
    );
}

/**
 * Why the states of a job do not fit its present code, one line each, as far as the plan tells: what an earlier version
 * has stored may still lie there.
 */
export function versionDifferences(before: GraphPlan, after: GraphPlan): string[] {
  const old = new Map(operatorsOf(before).map((operator) => [operator.id, operator]));
  return operatorsOf(after).flatMap((now) => {
    const was = old.get(now.id);
    const states = [...(now.states ?? []), ...Object.keys(now.operatorStates ?? {})];
    return (was === undefined ? [] : states).flatMap((state) => {
      const { version, migrates } = versionOf(was!, state);
      return versionProblems(state, [version, ...migrates], now);
    });
  });
}
