/** The earthquakes of one week as the USGS reported them: 1,707 real reports, most of them out of order. */
import { readFileSync } from "node:fs";

export interface Report {
  readonly id: string;
  /** When the earth shook, in ms since 1970. */
  readonly time: number;
  /** When it was reported, minutes to days later, in ms since 1970. */
  readonly reportedAt: number;
  readonly magnitude: number;
  readonly region: string;
}

const OTHER_NAMES: Readonly<Record<string, string>> = { CA: "California", NV: "Nevada", MX: "Mexico" };

/** In the order in which they came in. */
export function readReports(): readonly Report[] {
  const lines = readFileSync(new URL("reports.tsv", import.meta.url), "utf8")
    .trimEnd()
    .split("\n");
  return lines.filter((line) => !line.startsWith("#")).map(parse);
}

function parse(line: string): Report {
  const [id = "", time, reportedAt, magnitude, place = ""] = line.split("\t");
  // "4km W of Castaic, CA" lies in California.
  const region = place.split(", ").at(-1)!;
  return {
    id,
    time: Number(time),
    reportedAt: Number(reportedAt),
    magnitude: Number(magnitude),
    region: OTHER_NAMES[region] ?? region,
  };
}
