/**
 * `nats stream backup` and `nats stream restore`, by the API below them: the stream comes back as it was, or with other
 * settings.
 */
import type { StreamConfig } from "@nats-io/jetstream";
import { createInbox, type NatsConnection } from "@nats-io/transport-node";

export interface StreamBackup {
  readonly config: StreamConfig;
  readonly state: object;
  readonly chunks: readonly Uint8Array[];
}

export async function backupStream(connection: NatsConnection, stream: string): Promise<StreamBackup> {
  const inbox = createInbox();
  const chunks: Uint8Array[] = [];
  const subscription = connection.subscribe(inbox);
  const request = { deliver_subject: inbox, no_consumers: false };
  const answer = await connection.request(`$JS.API.STREAM.SNAPSHOT.${stream}`, JSON.stringify(request));
  const { config, state, error } = answer.json<StreamBackup & { error?: { description: string } }>();
  if (error !== undefined) throw new Error(`backup of ${stream}: ${error.description}`);
  for await (const message of subscription) {
    // Flow control: the server sends on when it has been answered.
    message.respond();
    if (message.data.length === 0) break;
    chunks.push(message.data.slice());
  }
  return { config, state, chunks };
}

export async function restoreStream(
  connection: NatsConnection,
  { config, state, chunks }: StreamBackup,
  settings: Partial<StreamConfig> = {},
): Promise<void> {
  const request = { config: { ...config, ...settings }, state };
  const answer = await connection.request(`$JS.API.STREAM.RESTORE.${config.name}`, JSON.stringify(request));
  const { deliver_subject, error } = answer.json<{
    deliver_subject: string;
    error?: { description: string };
  }>();
  if (error !== undefined) throw new Error(`restore of ${config.name}: ${error.description}`);
  for (const chunk of [...chunks, new Uint8Array()]) {
    const said = await connection.request(deliver_subject, chunk);
    if (said.data.length === 0) continue;
    const { error: refused } = said.json<{ error?: { description: string } }>();
    if (refused !== undefined) throw new Error(`restore of ${config.name}: ${refused.description}`);
  }
}
