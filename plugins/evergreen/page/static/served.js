// Predictions on request, out of the request log: how many, by which version, how long they took.

import { badge, el, empty, facts, instant, interval, number, plural, problems, table, versionLink } from "./dom.js";

export function drawServed(served) {
  const share = served.log_share < 1 ? `${number(served.log_share * 100, 1)} % of the rows, by a hash of their key: the counts are of these` : null;
  return [
    problems(served.problems.map(({ about, message, at }) => `${about === "challenger" ? "Challenger" : "Champion"} not served since ${instant(at)}: ${message}`)),
    problems(served.traffic.stopped.map(({ version, reason, requested_by, at }) =>
      `Split of version ${version} stopped by ${requested_by || "somebody"} on ${instant(at)}: ${reason}. The champion answers alone; 'evergreen traffic resume ${version}' lets it answer again.`)),
    empty(served.hint),
    facts([["challenger", asked(served.traffic.share)], ["in the log", share], ["older days in the log", served.older_days || null]]),
    served.days.length ? table("Predictions on request, by the day of the rows, newest first",
      ["day of the rows", "requests", "refused", "rows", "versions that answered", "median", "99 %", "newest answer"], served.days.map(line), { class: "wide" }) : null,
    performance(served.performance),
    served.days.length ? el("p", { class: "quiet" }, "Times are those of look-ups and predictions, without the network. Refused requests are counted on the day on which they came; of their rows nothing is kept.") : null,
  ];
}

// A split, or a shadow: the difference of the two with an interval that holds however often somebody looks.
function split(known) {
  const words = known.kind === "paired" ? "asked for the same rows, in shadow" : "each answered its keys";
  return [
    el("p", known.is_worse ? { class: "problem" } : null,
      `${known.reason}. The two ${words}: ${plural(known.rows, "row")} with labels of the champion, ${number(known.challenger_rows)} of the challenger. ` +
      "The interval holds at every look; the split ends once it is above 0."),
    known.gate.map((ruling) => asGate(ruling, known.challenger)),
  ];
}

// What the gate would say of a held challenger by the days of its split, and who has to ask it.
const asGate = ({ rule, passed, reason }, version) =>
  el("p", null, `The gate's rule ${rule} by these days: `, badge({ true: "passed", false: "failed" }[passed] ?? "no evidence"), ` ${reason}.`,
    passed ? ` 'evergreen traffic judge ${version} --reason "..."' lets version ${version} serve.` : "");

// How the answers did on the labels that have arrived: a metric a line, a version a column.
function performance(measured) {
  if (!measured || !measured.asked) return null;
  const { versions } = measured;
  const figure = (version, name) => {
    const of = version.figures.find((one) => one.name === name);
    return of ? [number(of.value), interval(of) && ` (${interval(of)})`] : "";
  };
  const names = new Map(versions.flatMap(({ figures }) => figures.map(({ name, label }) => [name, label])));
  return [
    measured.splits.length ? el("h3", null, "Challenger and champion on the same days") : null,
    ...measured.splits.map(split),
    el("h3", null, "Live performance of requests"),
    el("p", null, `${measured.reason}. Of a key that was asked several times the first answer counts.`),
    versions.length ? table("Live performance of requests by the version that answered, with intervals by day",
      ["metric", ...versions.map(({ version }) => `version ${version}`)],
      [["labelled days and rows", ...versions.map(({ days, rows }) => `${plural(days, "day")}, ${plural(rows, "row")}`)],
        ...[...names].map(([name, label]) => [label, ...versions.map((version) => figure(version, name))])], { class: "wide" }) : null,
  ];
}

function line(day) {
  if (day.requests === null) return [day.day, "not counted", refused(day), "", "", "", "", ""];
  const versions = day.versions.flatMap(({ version, rows }, at) => [at ? ", " : "", versionLink(version), ` (${number(rows)})`]);
  return [day.day, number(day.requests), refused(day), number(day.rows), versions, milliseconds(day.seconds?.median), milliseconds(day.seconds?.p99), instant(day.last_at)];
}

const refused = ({ refused: counts }) =>
  Object.entries(counts).map(([status, count]) => `${number(count)} with ${status}`).join(", ");

// What serving.traffic says, in words; nothing where the champion answers alone.
const asked = (share) => (share === null ? null : share ? `answers ${number(share * 100, 1)} % of the keys` : "asked in shadow, the champion answers");

const milliseconds = (seconds) => (seconds === null || seconds === undefined ? "unknown" : `${number(Number((seconds * 1000).toPrecision(2)), 1)} ms`);
