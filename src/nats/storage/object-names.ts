/** How the object store writes names and digests. */

/** The object store writes base64url with padding. */
function base64Url(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}

export function nameOfSubject(infoSubject: string): string {
  return nameOfToken(infoSubject.slice(infoSubject.lastIndexOf(".") + 1));
}

export function tokenOf(name: string): string {
  return base64Url(Buffer.from(name));
}

export function nameOfToken(token: string): string {
  return Buffer.from(token, "base64url").toString();
}

/** `sha256:<hex>` as the object store writes it. */
export function storedDigest(digest: string): string {
  return `SHA-256=${base64Url(Buffer.from(digest.slice("sha256:".length), "hex"))}`;
}
