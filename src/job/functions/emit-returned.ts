/** What a function of a process returns is emitted; a promise is caught before it becomes a record. */
import { CANNOT_WAIT, isAnswer, refuseAnswer } from "../../dataflow/guards/answers.ts";
import { ConfigurationError } from "../../errors.ts";
import { isThenable, silence } from "../../state/described.ts";

/** @param name of the function: "onRecord" */
export function emitAnswer(
  id: string,
  name: string,
  returned: unknown,
  emit: (value: unknown) => void,
): void {
  if (returned === undefined) return;
  if (isThenable(returned)) {
    silence(returned);
    throw new ConfigurationError(id, `${name} must not be async, it returned a promise: ${CANNOT_WAIT}`);
  }
  if (!isAnswer(returned)) refuseAnswer(id, `${name} answered`, returned);
  emit(returned);
}
