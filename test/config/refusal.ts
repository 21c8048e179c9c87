/** What a configuration is refused with. */
import { expect } from "vitest";
import { ConfigurationError } from "../../src/errors.ts";

export function refusal(attempt: () => unknown): { key: string; message: string } {
  try {
    attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    const { key, message } = error as ConfigurationError;
    return { key, message };
  }
  throw new Error("nothing was refused");
}
