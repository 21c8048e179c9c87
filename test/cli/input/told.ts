/** A command that cannot work, and what its user is told. */
import { expect } from "vitest";
import type { Workspace } from "../workspace.ts";

export interface BadCommand {
  readonly title: string;
  readonly args: () => string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly code: number;
  readonly says: readonly (string | RegExp)[];
}

export const USAGE = 2;
export const ENVIRONMENT = 3;
export const REFUSED = 4;

/** A job file: `body` adds operators to `job`. */
export const define = (body: string, options = "{}") =>
  `import { defineJob, fileSink, generatorSource, jetstreamSink, jetstreamSource } from "tidemark";
export default defineJob("bad", ${options}, (job) => { ${body} });\n`;
/** A stream of ten numbers, as code. */
export const numbers = 'job.source("numbers", generatorSource({ count: 10, generate: (index) => index }))';

/** One message that names the thing, without a stack and without secrets; nothing on standard output. */
export async function isToldInOneMessage(
  workspace: Workspace,
  { args, env, code, says }: BadCommand,
): Promise<void> {
  const ended = await workspace.run(args(), env && { env });
  for (const text of says) expect(ended.stderr).toMatch(text);
  expect(ended.stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m);
  expect(ended.stderr).not.toContain("secret-guess");
  expect(ended.stderr.match(/^tidemark: (?!warning)/gm)).toHaveLength(1);
  expect(ended).toMatchObject({ code, stdout: "" });
}
