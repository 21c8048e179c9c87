/** Leadership. A trace changes only with the protocol: update one only if you can say why. */
import { type LeaseEvent, leaseMachine } from "../../../machines/leader/lease.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: LeaseEvent) => ({ event });
const seen = (revision: number, holder: string, released = false) =>
  take({ type: "lease.seen", seen: { revision, holder, released } });
const nothing = seen(0, "", true);
const unreadable = take({ type: "lease.unreadable" });
const stored = (revision: number) => take({ type: "lease.stored", revision });
const refused = take({ type: "lease.refused" });
const unknown = take({ type: "lease.unknown" });
const check = take({ type: "timer.fired", timer: "check" });
const takeover = take({ type: "timer.fired", timer: "takeover" });
const release = take({ type: "release.requested" });
const leading = [nothing, stored(10)];

const story = (title: string, steps: Scenario["steps"]): Scenario => ({
  title,
  actors: { lease: { machine: leaseMachine, input: { holder: "b", leaseMs: 2000 } } },
  steps,
});

describeTraces({
  machine: leaseMachine,
  scenarios: {
    "first-leader": story(
      "No coordinator has ever led: the write's revision is the token; renewals keep it.   (L1, P11)",
      [nothing, stored(10), check, stored(11), check, stored(12)],
    ),
    takeover: story("A leader dies: taken over after more than a lease without a change.   (L1, L2, P11)", [
      "Coordinator a leads. As long as it renews, b only watches.",
      seen(10, "a"),
      check,
      seen(11, "a"),
      check,
      "Unchanged from here on; the clock that counts is b's own.",
      seen(11, "a"),
      check,
      unreadable,
      takeover,
      "One more look before the write; b's token is above a's for ever.",
      seen(11, "a"),
      stored(12),
    ]),
    "takeover-while-reading": story("The time runs out while the lease is being read.   (L2)", [
      seen(10, "a"),
      check,
      takeover,
      seen(10, "a"),
      stored(12),
    ]),
    "renewed-at-last": story("The holder renews at the last moment: the watch begins anew.   (L2)", [
      seen(10, "a"),
      takeover,
      seen(11, "a"),
    ]),
    "released-at-last": story("The holder gives the lease back at the last moment.   (L2)", [
      seen(10, "a"),
      takeover,
      seen(11, "a", true),
    ]),
    "unreadable-at-takeover": story(
      "The store cannot be read at the moment of take-over: the old observation still counts.   (L2, P20)",
      [
        seen(10, "a"),
        takeover,
        unreadable,
        check,
        unreadable,
        check,
        "Back again, and still unchanged.",
        seen(10, "a"),
        stored(11),
      ],
    ),
    "lost-race": story("Two standbys want the lease: the compare-and-set lets one have it.   (P11)", [
      nothing,
      refused,
      seen(10, "c"),
    ]),
    "takeover-unknown-mine": story(
      "The outcome of the take-over is unknown, and it had succeeded.   (P8, L1)",
      [
        nothing,
        unknown,
        "The lease itself says so; the token is the revision of that write.",
        seen(10, "b"),
        check,
        stored(11),
      ],
    ),
    "takeover-unknown-open": story(
      "The outcome of the take-over is unknown: sent again at the same revision.   (P8)",
      [seen(8, "a", true), unknown, unreadable, check, seen(8, "a", true), stored(10)],
    ),
    "takeover-unknown-lost": story(
      "The outcome of the take-over is unknown, and another one has it.   (P8)",
      [nothing, unknown, seen(10, "c"), seen(10, "c")],
    ),
    "renewal-after-outage": story(
      "The store is away for minutes: no candidate took over, so it still leads with the same token.   (L3, P2)",
      [
        ...leading,
        check,
        "No answer. The write may have succeeded.",
        unknown,
        unreadable,
        check,
        unreadable,
        check,
        "It had: revision 11 is b's own.",
        seen(11, "b"),
        stored(12),
        "The token stays 10 all the while: job records need not be written again.",
      ],
    ),
    "renewal-refused-by-own": story(
      "A renewal is refused because an earlier one of unknown outcome had come through.   (P8, L4)",
      [...leading, check, refused, seen(11, "b"), stored(12)],
    ),
    deposed: story("The lease shows another holder: only this ends a term.   (L4, P9)", [
      ...leading,
      check,
      refused,
      seen(11, "c"),
      "A standby from now on; its observation begins anew.",
      seen(11, "c"),
    ]),
    released: story("An orderly end: a standby need not wait.   (P11)", [...leading, release, stored(11)]),
    "released-after-outage": story(
      "Given back at a revision that is not the last one: as good as released.   (P9)",
      [...leading, release, refused],
    ),
    "release-unknown": story(
      "The release gets no answer: a standby takes over after a lease at the latest.   (P9)",
      [...leading, release, unknown],
    ),
    "release-too-late": story(
      "It was to be given back, and is found lost: this one competes no more.   (L5)",
      [...leading, check, refused, seen(12, "a"), seen(12, "a"), release],
    ),
    "release-unsettled": story(
      "It was to be given back, was lost, and whether it is mine again is not known: it runs out.   (L5)",
      [...leading, check, refused, seen(12, "a"), seen(13, "a", true), unknown, unreadable, release],
    ),
    "takeover-again": story("Once the time has run out, every check is another look.   (L2)", [
      seen(10, "a"),
      takeover,
      unreadable,
      takeover,
      check,
    ]),
  },
  unhandled: [
    // The time had run out already.
    "lease.following.unseen: timer.fired",
  ],
});
