/** What a user says about the version of a state's values, and what becomes of those that an older version stored. */
import { checkMembers } from "../../config/members.ts";
import { ConfigurationError } from "../../errors.ts";
import { describeOption } from "../described.ts";

/** The version of a state whose user has named none. */
export const FIRST_VERSION = "1";

/**
 * By version: what becomes of a value that it has stored. Of a list each value is given, of a map that of each entry,
 * of an aggregating state the accumulator. Of state without key it is given each value of a list, and of each entry.
 */
// biome-ignore lint/suspicious/noExplicitAny: what an older version has stored, only the user knows
export type StateMigrations = Readonly<Record<string, (value: any) => unknown>>;

export interface VersionOptions {
  /** Names the present form of the values. It needs another name where they get another form. Default "1". */
  readonly version?: string | undefined;
  /** Called at a restore, once for each value that such a version has stored. Other versions are refused. */
  readonly migrate?: StateMigrations | undefined;
}

/** What a descriptor has of them. */
export interface WithVersion {
  readonly version?: string;
  readonly migrate?: StateMigrations;
}

/**
 * @param maker the function that the options were given to: "valueState"
 * @throws ConfigurationError
 */
export function versionOptionsOf(maker: string, { version, migrate }: VersionOptions): WithVersion {
  const problem = problemOfVersion({ version, migrate });
  if (problem !== undefined) throw new ConfigurationError(maker, `${maker}: ${problem}`);
  return {
    ...(version !== undefined && version !== FIRST_VERSION && { version }),
    ...(migrate !== undefined &&
      Object.keys(migrate).length > 0 && { migrate: Object.freeze({ ...migrate }) }),
  };
}

const OPTIONS = ["version", "migrate"];

/**
 * The options of state without key, which has no others.
 * @throws ConfigurationError
 */
export function unkeyedOptionsOf(
  maker: string,
  options: VersionOptions | undefined,
  further: readonly unknown[],
): WithVersion {
  if (further.length > 0)
    throw new ConfigurationError(maker, `${maker}(options): takes options, and nothing else`);
  if (options === undefined) return {};
  checkMembers(options, OPTIONS, maker, "option", maker);
  return versionOptionsOf(maker, options);
}

const EXAMPLE = '{ version: "2", migrate: { "1": (value) => ... } }';

/** undefined: they are options of this kind. Else the end of a sentence. */
export function problemOfVersion({
  version = FIRST_VERSION,
  migrate = {},
}: {
  readonly version?: unknown;
  readonly migrate?: unknown;
}): string | undefined {
  if (typeof version !== "string" || version === "")
    return `version must be a text, is ${describeOption(version)}`;
  if (typeof migrate !== "object" || migrate === null || Array.isArray(migrate))
    return `migrate must be functions by version, as in ${EXAMPLE}, is ${describeOption(migrate)}`;
  for (const [from, one] of Object.entries(migrate)) {
    if (typeof one !== "function")
      return `migrate["${from}"] must be a function, as in ${EXAMPLE}, is ${describeOption(one)}`;
    if (from === version)
      return `migrate["${from}"] is for values of this very version: give the state a new version, as in ${EXAMPLE}`;
  }
  return undefined;
}
