/** The header by which a sink's marker is told from a record (P43). Its value is the incarnation of the job. */
export const MARKER_HEADER = "Tidemark-Marker";

const LINE = Buffer.from(`\r\n${MARKER_HEADER}:`);

/** @param from @param to the header block of a message as it came over the wire */
export function isMarker(bytes: Buffer, from: number, to: number): boolean {
  return bytes.subarray(from, to).includes(LINE);
}
