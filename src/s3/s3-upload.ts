/** An upload of parts: several of them on their way at a time, and nothing left of it when it is given up. */
import type { CompletedPart } from "@aws-sdk/client-s3";
import { type S3Connection, statusOf } from "./s3-client.ts";

interface At {
  readonly Bucket: string;
  readonly Key: string;
}

const PARTS_AT_ONCE = 3;
const NOT_FOUND = 404;

export class S3Upload {
  readonly #connection: S3Connection;
  readonly #at: At;
  readonly #id: string;
  readonly #given: AbortController;
  readonly #parts: Promise<CompletedPart>[] = [];

  private constructor(connection: S3Connection, at: At, id: string, signal: AbortSignal | undefined) {
    this.#connection = connection;
    this.#at = at;
    this.#id = id;
    this.#given = new AbortController();
    signal?.addEventListener("abort", () => this.#given.abort(), { once: true });
    if (signal?.aborted === true) this.#given.abort();
  }

  static async begin(connection: S3Connection, at: At, signal: AbortSignal | undefined): Promise<S3Upload> {
    const { sdk, client } = connection;
    const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(at));
    if (UploadId === undefined) throw new Error("the server began an upload and gave it no id");
    return new S3Upload(connection, at, UploadId, signal);
  }

  /** Resolves when there is room for the next one. */
  async add(body: Uint8Array): Promise<void> {
    const { sdk, client } = this.#connection;
    const PartNumber = this.#parts.length + 1;
    const part = client
      .send(
        new sdk.UploadPartCommand({
          ...this.#at,
          UploadId: this.#id,
          PartNumber,
          Body: body,
          ContentLength: body.length,
        }),
        { abortSignal: this.#given.signal },
      )
      .then(({ ETag }): CompletedPart => ({ PartNumber, ...(ETag === undefined ? {} : { ETag }) }));
    part.catch(() => undefined);
    this.#parts.push(part);
    await this.#parts.at(-PARTS_AT_ONCE);
  }

  /** Resolves when all parts are stored. */
  async stored(): Promise<void> {
    await Promise.all(this.#parts);
  }

  /** Makes the object of the parts, where none is. What is refused leaves nothing. */
  async complete(): Promise<void> {
    const { sdk, client } = this.#connection;
    const Parts = await Promise.all(this.#parts);
    const input = {
      ...this.#at,
      UploadId: this.#id,
      MultipartUpload: { Parts },
      IfNoneMatch: "*",
    };
    try {
      await client.send(new sdk.CompleteMultipartUploadCommand(input));
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  /** Gives it up, best effort: what is left, `listUnfinished` finds. */
  async abort(): Promise<void> {
    this.#given.abort();
    await Promise.allSettled(this.#parts);
    await S3Upload.abortOf(this.#connection, this.#at, this.#id).catch(() => undefined);
  }

  /** @throws what the client throws; an upload that is gone is no error */
  static async abortOf({ sdk, client }: S3Connection, at: At, id: string): Promise<void> {
    try {
      await client.send(new sdk.AbortMultipartUploadCommand({ ...at, UploadId: id }));
    } catch (error) {
      if (statusOf(error) !== NOT_FOUND) throw error;
    }
  }

  /** What its parts take; undefined: it is gone. */
  static async bytesOf({ sdk, client }: S3Connection, at: At, id: string): Promise<number | undefined> {
    let bytes = 0;
    let marker: string | undefined;
    do {
      try {
        const page = await client.send(
          new sdk.ListPartsCommand({
            ...at,
            UploadId: id,
            ...(marker === undefined ? {} : { PartNumberMarker: marker }),
          }),
        );
        for (const { Size } of page.Parts ?? []) bytes += Size ?? 0;
        marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined;
      } catch (error) {
        if (statusOf(error) === NOT_FOUND) return undefined;
        throw error;
      }
    } while (marker !== undefined);
    return bytes;
  }
}
