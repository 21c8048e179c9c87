/**
 * Those commands of the `nats` tool that messages and the README name, for tests that run them by a shell as a user
 * would.
 *
 * It knows no flag beside those below, so a command that is quoted or put together wrongly fails.
 */
import { readFileSync } from "node:fs";
import { jetstream, jetstreamManager, RetentionPolicy, type StreamConfig } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";

const SETTINGS: Readonly<Record<string, Partial<StreamConfig>>> = {
  "--allow-batch": { allow_atomic: true },
  "--allow-rollup": { allow_rollup_hdrs: true },
  "--allow-msg-ttl": { allow_msg_ttl: true },
  "--storage=file": {},
  "--defaults": {},
  "--force": {},
  "--ack": { no_ack: false },
  "--retention=limits": { retention: RetentionPolicy.Limits },
};

const NUMBERS: Readonly<Record<string, keyof StreamConfig>> = {
  "--max-msgs": "max_msgs",
  "--max-bytes": "max_bytes",
  "--max-msg-size": "max_msg_size",
};

let servers = process.env.NATS_URL ?? "";
let token: string | undefined;
let config: Partial<StreamConfig> = {};
const words: string[] = [];
for (const word of process.argv.slice(2)) {
  const [, flag, value] = /^(--[-a-z]+)=(.*)$/.exec(word) ?? [];
  if (flag === "--server") servers = value!;
  else if (flag === "--context")
    ({ url: servers, token } = JSON.parse(readFileSync(value!, "utf8")) as { url: string; token: string });
  else if (flag === "--subjects") config = { ...config, subjects: value!.split(",") };
  else if (flag !== undefined && NUMBERS[flag] !== undefined)
    config = { ...config, [NUMBERS[flag]]: Number(value) };
  else if (SETTINGS[word] !== undefined) config = { ...config, ...SETTINGS[word] };
  else if (word.startsWith("-")) throw new Error(`no such flag: ${word}`);
  else words.push(word);
}

const nats = await connect({ servers, ...(token !== undefined && { token }) });
const manager = await jetstreamManager(nats);
const [noun, verb = "", name = ""] = words;
switch (`${noun} ${verb}`) {
  case "stream add":
    await manager.streams.add({ name, ...config });
    break;
  case "stream edit":
    await manager.streams.update(name, config);
    break;
  case "kv add":
    await new Kvm(nats).create(name);
    break;
  default:
    if (noun !== "pub") throw new Error(`no such command: ${words.join(" ")}`);
    await jetstream(nats).publish(verb, name);
}
await nats.close();
