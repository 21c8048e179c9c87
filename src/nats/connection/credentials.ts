/**
 * What a connection proves itself with: one of credentials file, nkey seed file, user and password, token, or nothing.
 *
 * Files are read again at every reconnect, so that a rotated one is picked up. Passwords and tokens never appear in
 * messages.
 */
import { readFileSync } from "node:fs";
import {
  type Authenticator,
  credsAuthenticator,
  nkeyAuthenticator,
  nkeys,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";
import { ConfigurationError, describeError } from "../../errors.ts";

export interface CredentialOptions {
  /** A `.creds` file: user JWT and its seed. */
  readonly credentialsFile?: string;
  /** A file with the seed of a user nkey ("SU..."). */
  readonly nkeyFile?: string;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

export interface Credentials {
  readonly authenticator: Authenticator | undefined;
  /** The credentials' name in messages: 'the credentials file /etc/x.creds'. */
  readonly description: string;
}

/** Throws ConfigurationError when more than one kind is given, or a file cannot be used. */
export function resolveCredentials(options: CredentialOptions): Credentials {
  const { credentialsFile, nkeyFile, user, password, token } = options;
  const given = Object.entries({ credentialsFile, nkeyFile, user, token }).filter(([, value]) => value);
  if (given.length > 1) {
    const [first, second] = given.map(([key]) => key);
    throw new ConfigurationError(
      second!,
      `${first} and ${second} are both given; a connection uses one of them`,
    );
  }
  if (password && !user)
    throw new ConfigurationError("user", "a password is given without a user; name the user");

  if (credentialsFile) {
    return {
      authenticator: fromFile("credentialsFile", credentialsFile, credsAuthenticator),
      description: `the credentials file ${credentialsFile}`,
    };
  }
  if (nkeyFile) {
    return {
      authenticator: fromFile("nkeyFile", nkeyFile, seedAuthenticator),
      description: `the nkey seed file ${nkeyFile}`,
    };
  }
  if (user) {
    return { authenticator: usernamePasswordAuthenticator(user, password), description: `user "${user}"` };
  }
  if (token) return { authenticator: tokenAuthenticator(token), description: "the token" };
  return { authenticator: undefined, description: "no credentials" };
}

function seedAuthenticator(content: Uint8Array): Authenticator {
  const seed = /\bSU[A-Z2-7]{56}\b/.exec(Buffer.from(content).toString("latin1"))?.[0];
  if (seed === undefined) throw new Error('it holds no seed of a user ("SU" and 56 more characters)');
  const bytes = Buffer.from(seed, "latin1");
  nkeys.fromSeed(bytes);
  return nkeyAuthenticator(bytes);
}

function fromFile(
  key: string,
  file: string,
  authenticatorOf: (content: Uint8Array) => Authenticator,
): Authenticator {
  const read = () => {
    const authenticator = authenticatorOf(readFileSync(file));
    // The library parses only when it is asked to sign.
    authenticator("nonce");
    return authenticator;
  };
  let current: Authenticator;
  try {
    current = read();
  } catch (error) {
    throw new ConfigurationError(key, `${key}: ${file} cannot be used: ${describeError(error)}`, {
      cause: error,
    });
  }
  return (nonce) => {
    try {
      current = read();
    } catch {
      // It is being replaced just now. An exception here would close the connection for good.
    }
    return current(nonce);
  };
}
