/** What a version of the code is made of, kept short enough for a job record, and what differs between two of them. */
import type { CodeListing } from "../../../machines/protocol.ts";
import type { ProjectCode } from "./project-code.ts";

/** The record is written at every checkpoint. */
const LISTED_CHARS_MAX = 6000;
const DIGITS = 10;
const NAMED_MAX = 10;

/** The listing of a version. Files come first: they change most. */
export function listingOf(code: ProjectCode): CodeListing {
  let chars = 0;
  const fits = (length: number) => {
    chars += length;
    return chars <= LISTED_CHARS_MAX;
  };
  const files = code.files
    .filter(({ path }) => fits(path.length + DIGITS))
    .map(({ path, digest }) => [path, digest.slice(0, DIGITS)] as const);
  const packages = code.packages.filter((name) => fits(name.length));
  const unlisted = code.files.length + code.packages.length - files.length - packages.length;
  return { files, packages, unlisted };
}

/** The differences in words, with the names of what differs, for the user who has another version. */
export function codeDifferences(submitted: CodeListing, here: CodeListing): string {
  const was = new Map(submitted.files);
  const is = new Map(here.files);
  const changed = [...is].filter(([path, digest]) => was.has(path) && was.get(path) !== digest);
  const missing = [...was.keys()].filter((path) => !is.has(path));
  const added = [...is.keys()].filter((path) => !was.has(path));
  const parts = [
    ...named(
      "other content than submitted",
      changed.map(([path]) => path),
    ),
    ...(submitted.unlisted > 0 ? [] : named("not submitted", added)),
    ...(here.unlisted > 0 ? [] : named("submitted, but not loaded here", missing)),
    ...packageDifferences(submitted, here),
  ];
  if (parts.length > 0) return parts.join("; ");
  if (submitted.unlisted + here.unlisted > 0)
    return "what differs is among the files and packages that are too many to be listed";
  return (
    "its files and packages are the same, but what they describe is not: it depends on something else, " +
    "such as the environment, the time, or a file that the job file reads"
  );
}

function packageDifferences(submitted: CodeListing, here: CodeListing): string[] {
  const before = versionsOf(submitted.packages);
  const now = versionsOf(here.packages);
  return [...new Set([...before.keys(), ...now.keys()])].sort().flatMap((name) => {
    const [was, is] = [before.get(name), now.get(name)];
    if (was === is) return [];
    if (was === undefined) return submitted.unlisted > 0 ? [] : [`package ${name} (${is}) was not submitted`];
    if (is === undefined) return here.unlisted > 0 ? [] : [`package ${name} (${was}) is not loaded here`];
    return [`package ${name} is ${is} here, ${was} submitted`];
  });
}

/** Several of one name are possible: each package that needs it may bring its own. */
function versionsOf(packages: readonly string[]): Map<string, string> {
  const versions = new Map<string, string>();
  for (const one of packages) {
    const at = one.lastIndexOf("@");
    const name = one.slice(0, at);
    const known = versions.get(name);
    versions.set(name, known === undefined ? one.slice(at + 1) : `${known}, ${one.slice(at + 1)}`);
  }
  return versions;
}

function named(what: string, paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  const more = paths.length > NAMED_MAX ? ` and ${paths.length - NAMED_MAX} more` : "";
  return [`${what}: ${paths.slice(0, NAMED_MAX).join(", ")}${more}`];
}
