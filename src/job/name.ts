/**
 * Names a user gives: of jobs, operators and states. They become subject tokens, KV keys and file names as they are.
 */
import { show } from "../config/quantity.ts";
import { ConfigurationError } from "../errors.ts";
import { nameProblem } from "../formats/names.ts";

/** @param what "job name", "operator id": begins the message */
export function checkName(name: unknown, what: string): asserts name is string {
  const problem = nameProblem(name);
  if (problem === undefined) return;
  const key = typeof name === "string" && name !== "" ? name : what;
  throw new ConfigurationError(key, `${what} ${show(name)}: ${problem}`);
}
