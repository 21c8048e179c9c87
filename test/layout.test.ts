/**
 * The shape of the tree: which room may import which, how long a file may be, what may not be in it.
 *
 * A finding says where, which rule, and what to do. The rules are in test/layout/, with the proof that each of them
 * fires. No file is an exception to a rule.
 */
import { expect, test } from "vitest";
import { ownTime, privatePlaces, reminders, shortTimers, unusedTimers } from "./layout/forbidden-text.ts";
import { forbiddenImports, roomCycles } from "./layout/imports.ts";
import { loosePackages } from "./layout/packages.ts";
import * as shape from "./layout/shape.ts";
import { only, readTree, shipped } from "./layout/tree.ts";

const tree = readTree();
const code = shipped(tree);
const typescript = only(tree, /\.ts$/);

test("imports follow the table", () => expect(forbiddenImports(code)).toEqual([]));
test("no cycle of imports between rooms", () => expect(roomCycles(code)).toEqual([]));
test(`no file of code has more than ${shape.FILE_LINES_MAX} lines`, () =>
  expect(shape.longFiles(code)).toEqual([]));
test(`no comment is wider than ${shape.WORDS_COLUMNS_MAX} columns`, () =>
  expect(shape.wideComments(typescript)).toEqual([]));
test(`no text is wider than ${shape.WORDS_COLUMNS_MAX} columns`, () =>
  expect(shape.wideText(only(tree, /\.md$/))).toEqual([]));
test(`no folder has more than ${shape.FOLDER_FILES_MAX} files`, () =>
  expect(shape.wideFolders(tree)).toEqual([]));
test("no file is named after nothing", () => expect(shape.emptyNames(typescript)).toEqual([]));
test("no timer that fires at once when it is long", () => expect(shortTimers(code)).toEqual([]));
test("what is allowed timers of its own has one", () => expect(unusedTimers(code)).toEqual([]));
test("time, turns and chance come from outside where jobs run", () => expect(ownTime(code)).toEqual([]));
test("no reminders in code", () => expect(reminders(typescript)).toEqual([]));
test("no path of a machine, no host of a registry", () => expect(privatePlaces(tree)).toEqual([]));
test("packages are pinned and install without scripts", () => expect(loosePackages(tree)).toEqual([]));
