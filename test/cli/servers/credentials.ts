/**
 * An operator, an account with JetStream and one user, as `nsc` would make them: server configuration and `.creds`
 * file.
 */
import { createHash, randomUUID } from "node:crypto";
import { nkeys } from "@nats-io/transport-node";

type KeyPair = ReturnType<typeof nkeys.createUser>;

export function userOfAnAccount(): { readonly configuration: string; readonly credentials: string } {
  const [operator, system, account, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const unlimited = { subs: -1, data: -1, payload: -1 };
  const room = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const limits = { ...unlimited, ...room, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const systemLimits = { ...unlimited, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const tokens = {
    operator: token(operator, operator, "operator", { system_account: system.getPublicKey() }),
    system: token(operator, system, "account", { limits: systemLimits }),
    account: token(operator, account, "account", { limits }),
    user: token(account, user, "user", { ...unlimited, pub: {}, sub: {} }),
  };
  return {
    configuration: `operator: ${tokens.operator}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: { ${system.getPublicKey()}: ${tokens.system}, ${account.getPublicKey()}: ${tokens.account} }`,
    credentials: `-----BEGIN NATS USER JWT-----
${tokens.user}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${new TextDecoder().decode(user.getSeed())}
------END USER NKEY SEED------
`,
  };
}

function token(issuer: KeyPair, subject: KeyPair, type: string, claims: object): string {
  const body = {
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: type,
    nats: { ...claims, type, version: 2 },
  };
  const jti = createHash("sha256").update(randomUUID()).digest("hex");
  const signed = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part({ jti, ...body })}`;
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString("base64url")}`;
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
