/** How packages are named in the manifest and the lock file. */
import type { Tree } from "./tree.ts";

export function loosePackages(files: Tree): string[] {
  const manifest = JSON.parse(files.get("package.json")!);
  const lock = JSON.parse(files.get("package-lock.json")!);
  const versions: [string, string][] = Object.entries({
    ...manifest.dependencies,
    ...manifest.devDependencies,
  });
  const loose = versions.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version));
  const onInstall = ["preinstall", "install", "postinstall", "prepare"].filter(
    (name) => manifest.scripts?.[name],
  );
  const hosted = Object.entries<{ resolved?: string }>(lock.packages).filter(([, { resolved }]) =>
    resolved?.includes(":"),
  );
  return [
    ...loose.map(([name, version]) => `package.json: ${name} ${version}: pin one exact version`),
    ...onInstall.map(
      (name) => `package.json: script ${name}: what we ship installs without running anything`,
    ),
    ...hosted.map(
      ([path]) => `package-lock.json: ${path} names a host: install with the .npmrc of the repository`,
    ),
  ];
}
