/**
 * The client of an S3 server, which is a package of its own that only those install who keep checkpoints there.
 *
 * Credentials and region are found as by any program that uses the package: in the environment, in the shared files of
 * a profile, from the role of a container or machine.
 */
import type { S3Client } from "@aws-sdk/client-s3";
import { ConfigurationError, describeError, EnvironmentError } from "../errors.ts";

export type S3Sdk = typeof import("@aws-sdk/client-s3");

const PACKAGE = "@aws-sdk/client-s3";
/** A connection over which nothing comes for so long is given up. */
const SILENT_MS_MAX = 15_000;
const CONNECT_MS_MAX = 5_000;
const ATTEMPTS_MAX = 4;
/** The region of servers that have none: it is part of a signature. */
const ANY_REGION = "us-east-1";

export interface S3Connection {
  readonly sdk: S3Sdk;
  readonly client: S3Client;
}

export interface S3Place {
  readonly bucket: string;
  /** With a slash at its end; "": the whole bucket. */
  readonly prefix: string;
}

/** @param location "s3://bucket/some/prefix" */
export function parseS3Location(location: string): S3Place {
  const [, bucket = "", path = ""] = /^s3:\/\/([^/]+)\/?(.*)$/.exec(location) ?? [];
  const prefix = path.replace(/\/+$/, "");
  return { bucket, prefix: prefix === "" ? "" : `${prefix}/` };
}

/**
 * @param endpoint URL of a server that is not Amazon's. Default: as the environment says (`AWS_ENDPOINT_URL_S3`,
 *   `AWS_ENDPOINT_URL`), else Amazon's
 * @throws ConfigurationError when the package is not installed
 */
export async function connectS3(location: string, endpoint: string | undefined): Promise<S3Connection> {
  // Which versions of Node are supported is said by our own package; each command would print this.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";
  const sdk = await loadSdk(location);
  const { AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION } = process.env;
  const url = endpoint ?? (AWS_ENDPOINT_URL_S3 || AWS_ENDPOINT_URL || undefined);
  const region = AWS_REGION || AWS_DEFAULT_REGION || (url === undefined ? undefined : ANY_REGION);
  const client = new sdk.S3Client({
    maxAttempts: ATTEMPTS_MAX,
    // Else each body travels in chunks with a trailer, which many servers do not know. Objects have a digest of ours.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: CONNECT_MS_MAX, socketTimeout: SILENT_MS_MAX },
    ...(region === undefined ? {} : { region }),
    // Servers of one's own seldom have a name for each bucket.
    ...(url === undefined ? {} : { endpoint: url, forcePathStyle: true }),
  });
  return { sdk, client };
}

async function loadSdk(location: string): Promise<S3Sdk> {
  try {
    return await import("@aws-sdk/client-s3");
  } catch (cause) {
    throw new ConfigurationError(
      "checkpointing.storage",
      `${location} needs the package ${PACKAGE}, which cannot be loaded (${describeError(cause)}); install it beside ` +
        `tidemark: npm install ${PACKAGE}`,
      { cause },
    );
  }
}

/**
 * Resolves when the bucket answers.
 * @throws EnvironmentError that says what is missing: the bucket, a permission, credentials, a region, the server
 */
export async function assertBucket({ sdk, client }: S3Connection, location: string): Promise<void> {
  const { bucket: Bucket } = parseS3Location(location);
  try {
    await client.send(new sdk.HeadBucketCommand({ Bucket }));
  } catch (cause) {
    throw new EnvironmentError(`${location}: ${obstacleOf(Bucket, cause)}`, { cause });
  }
}

function obstacleOf(bucket: string, error: unknown): string {
  const status = statusOf(error);
  if (status === 404) return `there is no bucket ${bucket}; make it: aws s3 mb s3://${bucket}`;
  if (status === 403)
    return `bucket ${bucket} refuses these credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE); they need to list, read, write and delete there`;
  if (status === 301 || status === 400)
    return `bucket ${bucket} refuses the request (HTTP ${status}): look whether AWS_REGION is its region, and the endpoint its server's`;
  const reason = s3Reason(error);
  if (/credential/i.test(reason))
    return `no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (${reason})`;
  if (/region is missing/i.test(reason)) return `no region: set AWS_REGION (${reason})`;
  return `its server does not answer: ${reason}; with a server of your own say where it is: checkpointing.s3Endpoint`;
}

export function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}

/** "SlowDown: Please reduce your request rate. (HTTP 503)" */
export function s3Reason(error: unknown): string {
  const { name, code } = error as { readonly name?: string; readonly code?: string };
  const text = describeError(error);
  const said = text === "" ? (code ?? name ?? "no reason") : text;
  const named = name === undefined || name === "Error" || said.startsWith(name) ? said : `${name}: ${said}`;
  const status = statusOf(error);
  return status === undefined ? named : `${named} (HTTP ${status})`;
}
