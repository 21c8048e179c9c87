import { describe, expect, it } from "vitest";
import { createSubjects } from "../../../src/dataflow/channel/subjects.ts";
import { InvariantError } from "../../../src/errors.ts";
import { isJobName, isSubjectToken } from "../../../src/formats/names.ts";

describe("subjects", () => {
  it("have the documented form", () => {
    const subjects = createSubjects();
    const id = { edge: "words-count", from: 0, to: 3 };
    expect(subjects.channel("word-count", 5, id)).toEqual({
      data: "tidemark.word-count.5.channel.words-count.0.3",
      credit: "tidemark.word-count.5.channel-credit.words-count.0.3",
    });
    expect(subjects.control("word-count")).toBe("tidemark.word-count.control");
    expect(subjects.events("word-count")).toBe("tidemark.word-count.events");
    expect(subjects.allEvents()).toBe("tidemark.*.events");
    expect(subjects.workers("w1")).toBe("tidemark.workers.w1");
    expect(subjects.coordinator("word-count", 5)).toBe("tidemark.word-count.5.coordinator");
    expect(subjects.worker("word-count", 5, "w1")).toBe("tidemark.word-count.5.worker.w1");
    expect(createSubjects("team.a").control("j")).toBe("team.a.j.control");
  });

  it("refuse what is no token, and the job name that would collide", () => {
    for (const bad of ["", "a.b", "a b", "*", ">", "a>", "a\tb", "a\u0000"]) {
      expect(isSubjectToken(bad)).toBe(false);
      expect(() => createSubjects().control(bad)).toThrow(InvariantError);
      expect(() => createSubjects(bad === "a.b" ? "a..b" : bad)).toThrow(InvariantError);
    }
    expect(isSubjectToken("größe_1-$x")).toBe(true);
    expect(isJobName("workers")).toBe(false);
    expect(() => createSubjects().coordinator("j", 1.5)).toThrow(InvariantError);
    expect(() => createSubjects("$SYS")).toThrow(InvariantError);
    expect(() => createSubjects().channel("j", 1, { edge: "e", from: -1, to: 0 })).toThrow(InvariantError);
  });
});
