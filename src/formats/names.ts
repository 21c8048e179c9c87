/** What names have to look like that become subject tokens, KV keys and file names as they are. */

/** Four of them and the fixed parts still fit a file name of 255 bytes. */
const LENGTH_MAX = 48;

/** "workers" as a job name would collide with the workers' own subjects. */
const RESERVED_JOBS = new Set(["workers"]);

/** What is wrong with the name that a user gives a job, an operator or a state; undefined: nothing. */
export function nameProblem(name: unknown): string | undefined {
  if (typeof name !== "string") return "must be text; the first argument of every operator is its stable id";
  if (name === "") return "must not be empty";
  if (name.length > LENGTH_MAX) return `must have at most ${LENGTH_MAX} characters, has ${name.length}`;
  // A leading dash would make a flag of the name on the command line.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(name)) {
    return "may contain letters A to Z, digits, underscore and dash, and must not begin with a dash";
  }
  // "__proto__", "constructor", …: as a key of an object it would be something else, or nothing.
  if (name in Object.prototype) return "is a name that JavaScript keeps for itself; choose another one";
  if (/^(con|prn|aux|nul|(com|lpt)[0-9])$/i.test(name)) {
    return "is the name of a device on Windows, where no file can have it; choose another one";
  }
  return undefined;
}

export function isName(name: string): boolean {
  return nameProblem(name) === undefined;
}

/** Whether the text can be one token of a subject: no whitespace, control characters, `.`, `*` or `>`. */
export function isSubjectToken(token: string): boolean {
  return /^[^\s.*>\p{Cc}]+$/u.test(token);
}

export function isJobName(name: string): boolean {
  return isSubjectToken(name) && !RESERVED_JOBS.has(name);
}
