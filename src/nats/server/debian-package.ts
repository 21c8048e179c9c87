/**
 * Fetches one package of a newer Debian suite in user space: nothing of the system changes, and root is not needed.
 *
 * apt gets a source list, lists, state and cache of its own inside a work directory. The mirror is the one that the
 * machine's own source list already names. Only for packages that run on the present system as they are.
 */
import { type ExecFileOptions, execFile } from "node:child_process";
import { access, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describeError, EnvironmentError } from "../../errors.ts";
import { findVersion, isAtLeast } from "./server-version.ts";

/** Newer than what most machines run. */
const newerSuites = ["testing", "unstable"];
/** The suites that mean Debian's own archive, and not its security or backports parts or another vendor's. */
const archiveReleases = ["stable", "oldstable", "testing", "unstable", "sid"];
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

const queryTimeoutMs = 20_000;
const downloadTimeoutMs = 180_000;
const unpackTimeoutMs = 60_000;
/** The timeout of one silent connection, so that an unreachable mirror costs less than the whole download timeout. */
const connectionTimeoutSeconds = 20;

export interface DebianPackageOptions {
  readonly name: string;
  readonly minimumVersion: string;
  /** Default: "testing", then "unstable". */
  readonly suites?: readonly string[];
  /** Dependencies whose names match are unpacked beside it. Default: none is; the system has them. */
  readonly dependencies?: RegExp;
  /** An empty directory of ours alone. The caller deletes what is left in it. */
  readonly workDir: string;
  readonly log: (line: string) => void;
}

/** The directory into which the package was unpacked. Throws EnvironmentError when no suite has it new enough. */
export async function fetchDebianPackage(options: DebianPackageOptions): Promise<string> {
  if (process.platform !== "linux") throw new EnvironmentError("this is not a Debian-like system");
  const refusals: string[] = [];
  for (const mirror of await findMirrors()) {
    for (const [index, suite] of (options.suites ?? newerSuites).entries()) {
      options.log(`looking for ${options.name} >= ${options.minimumVersion} in ${suite} of ${mirror}`);
      const workDir = join(options.workDir, `${refusals.length}-${index}`);
      try {
        return await fetchFromSuite({ ...options, workDir }, mirror, suite);
      } catch (error) {
        refusals.push(`${suite}: ${describeError(error)}`);
      }
    }
  }
  throw new EnvironmentError(
    refusals.length > 0
      ? refusals.join("; ")
      : "the machine's apt sources name no Debian archive (`apt-get indextargets`)",
  );
}

async function findMirrors(): Promise<string[]> {
  const codename = /^VERSION_CODENAME=(.+)$/m.exec(
    await readFile("/etc/os-release", "utf8").catch(() => ""),
  )?.[1];
  const format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
  const { stdout } = await run("apt-get", ["indextargets", "--format", format], queryTimeoutMs);
  const mirrors = new Set<string>();
  for (const line of stdout.split("\n")) {
    const [uri = "", release = "", component] = line.split(" ");
    const isArchive = release === codename || archiveReleases.includes(release);
    if (isArchive && component === "main") mirrors.add(uri);
  }
  return [...mirrors];
}

async function fetchFromSuite(options: DebianPackageOptions, mirror: string, suite: string): Promise<string> {
  const { name, minimumVersion, dependencies, workDir, log } = options;
  const settings = await makeAptRoot(workDir, mirror, suite);

  const update = await run("apt-get", [...settings, "update"], downloadTimeoutMs);
  // apt-get only warns of an unreachable mirror or an unknown suite, so its success says nothing.
  const policy = await run("apt-cache", [...settings, "policy", name], queryTimeoutMs);
  const version = findVersion(/Candidate: (.*)/.exec(policy.stdout)?.[1] ?? "");
  if (version === undefined) {
    throw new EnvironmentError(/^[WE]: .*/m.exec(update.stderr)?.[0] ?? `it has no package ${name}`);
  }
  if (!isAtLeast(version, minimumVersion)) throw new EnvironmentError(`it has only ${name} ${version}`);

  log(`downloading ${name} ${version}`);
  const names = [name];
  if (dependencies !== undefined) {
    const { stdout } = await run("apt-cache", [...settings, "depends", name], queryTimeoutMs);
    for (const [, needed = ""] of stdout.matchAll(/^ *Depends: (\S+)$/gm))
      if (dependencies.test(needed)) names.push(needed);
  }
  await run("apt-get", [...settings, "download", ...names], downloadTimeoutMs, { cwd: workDir });
  const files = (await readdir(workDir)).filter((entry) => entry.endsWith(".deb"));
  if (files.length < names.length)
    throw new EnvironmentError(`apt-get download ${names.join(" ")} left ${files.length} package files`);
  const unpacked = join(workDir, "unpacked");
  for (const file of files) await run("dpkg-deb", ["-x", join(workDir, file), unpacked], unpackTimeoutMs);
  return unpacked;
}

/** Everything that apt reads or writes, inside `root`; answers with the options that point apt at it. */
async function makeAptRoot(root: string, mirror: string, suite: string): Promise<string[]> {
  const dirs = ["parts", "preferences", "state", "lists/partial", "cache/archives/partial"];
  for (const dir of dirs) await mkdir(join(root, dir), { recursive: true });
  const signedBy = (await exists(keyring)) ? `[signed-by=${keyring}] ` : "";
  await writeFile(join(root, "sources.list"), `deb ${signedBy}${mirror} ${suite} main\n`);
  await writeFile(join(root, "status"), "");
  const settings: Record<string, string> = {
    "Dir::Etc::SourceList": join(root, "sources.list"),
    "Dir::Etc::SourceParts": join(root, "parts"),
    // The machine's pins are about what it installs, which this is not.
    "Dir::Etc::Preferences": join(root, "no-preferences"),
    "Dir::Etc::PreferencesParts": join(root, "preferences"),
    "Dir::State": join(root, "state"),
    "Dir::State::Lists": join(root, "lists"),
    "Dir::State::status": join(root, "status"),
    "Dir::Cache": join(root, "cache"),
    "Acquire::Languages": "none",
    "Acquire::http::Timeout": String(connectionTimeoutSeconds),
    "Acquire::https::Timeout": String(connectionTimeoutSeconds),
    // If apt runs as root, it would drop to a user that may not write here.
    "APT::Sandbox::User": "",
  };
  return Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function run(
  command: string,
  args: readonly string[],
  timeoutMs: number,
  options: ExecFileOptions = {},
): Promise<{ stdout: string; stderr: string }> {
  // Messages of apt are read above, so they have to be the untranslated ones.
  const env = { ...process.env, LC_ALL: "C" };
  try {
    return await promisify(execFile)(command, args, {
      ...options,
      encoding: "utf8",
      env,
      timeout: timeoutMs,
      maxBuffer: 16 * 1024 * 1024,
    });
  } catch (error) {
    const failure = error as NodeJS.ErrnoException & { readonly killed?: boolean; readonly stderr?: string };
    const what = `${command} ${args.filter((arg) => !/^-o$|::/.test(arg)).join(" ")}`.trim();
    const why =
      failure.code === "ENOENT"
        ? `there is no ${command}`
        : failure.killed
          ? `${what} took longer than ${timeoutMs} ms`
          : `${what} failed: ${/^[WE]: .*/m.exec(failure.stderr ?? "")?.[0] ?? failure.message.split("\n")[0]}`;
    throw new EnvironmentError(why, { cause: error });
  }
}
