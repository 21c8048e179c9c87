/** Which subjects a stream takes, and which can be published to. Pure functions. */

/** Tests whether a subject is one of a stream's, made once for its subjects. Literal subjects only. */
export function subjectMatcher(patterns: readonly string[]): (subject: string) => boolean {
  const tests = patterns.map(patternTest);
  const only = tests[0];
  if (tests.length === 1 && only !== undefined) return only;
  return (subject) => {
    for (const test of tests) if (test(subject)) return true;
    return false;
  };
}

function patternTest(pattern: string): (subject: string) => boolean {
  if (pattern === ">") return () => true;
  if (isLiteralSubject(pattern)) return (subject) => subject === pattern;
  const prefix = pattern.slice(0, -1);
  if (pattern.endsWith(".>") && !prefix.includes("*")) {
    return (subject) => subject.length > prefix.length && subject.startsWith(prefix);
  }
  const wanted = pattern.split(".");
  return (subject) => matchesTokens(wanted, subject.split("."));
}

function matchesTokens(pattern: readonly string[], subject: readonly string[]): boolean {
  for (const [index, token] of pattern.entries()) {
    if (token === ">") return subject.length > index;
    if (index >= subject.length) return false;
    if (token !== "*" && token !== subject[index]) return false;
  }
  return subject.length === pattern.length;
}

/** Does one of the patterns take every subject that `wanted` takes? */
export function capturesAll(patterns: readonly string[], wanted: string): boolean {
  const tokens = wanted.split(".");
  return patterns.some((pattern) => {
    const own = pattern.split(".");
    for (const [index, token] of own.entries()) {
      if (token === ">") return tokens.length > index;
      if (index >= tokens.length || tokens[index] === ">") return false;
      if (token !== "*" && token !== tokens[index]) return false;
    }
    return own.length === tokens.length;
  });
}

export function overlaps(left: string, right: string): boolean {
  const a = left.split(".");
  const b = right.split(".");
  for (let index = 0; ; index += 1) {
    const x = a[index];
    const y = b[index];
    if (x === undefined || y === undefined) return x === y;
    if (x === ">" || y === ">") return true;
    if (x !== "*" && y !== "*" && x !== y) return false;
  }
}

const DOT = 46;
const STAR = 42;
const GREATER = 62;
const SPACE = 32;

/** Can be published to: tokens that are not empty, no whitespace or control characters, no wildcard token. */
export function isLiteralSubject(subject: string): boolean {
  const length = subject.length;
  let tokenStart = 0;
  for (let at = 0; at < length; at += 1) {
    const code = subject.charCodeAt(at);
    if (code === DOT) {
      if (at === tokenStart) return false;
      tokenStart = at + 1;
    } else if (code <= SPACE || code === 127) {
      return false;
    } else if (code === STAR || code === GREATER) {
      const alone = at === tokenStart && (at + 1 === length || subject.charCodeAt(at + 1) === DOT);
      if (alone) return false;
    }
  }
  return length > tokenStart;
}

/** Can stand between two dots of a subject. */
export function isSubjectToken(token: string): boolean {
  return !token.includes(".") && isLiteralSubject(token);
}
