// Predictions on request, out of the request log: how many, by which version, how long they took.

import { el, empty, facts, instant, number, problems, table, versionLink } from "./dom.js";

export function drawServed(served) {
  const share = served.log_share < 1 ? `${number(served.log_share * 100, 1)} % of the rows, by a hash of their key: the counts are of these` : null;
  return [
    problems(served.problems.map(({ message, at }) => `Champion not served since ${instant(at)}: ${message}`)),
    empty(served.hint),
    facts([["in the log", share], ["older days in the log", served.older_days || null]]),
    served.days.length ? table("Predictions on request, by the day of the rows, newest first",
      ["day of the rows", "requests", "rows", "versions that answered", "median", "99 %", "newest answer"], served.days.map(line), { class: "wide" }) : null,
    served.days.length ? el("p", { class: "quiet" }, "Times are those of look-ups and predictions, without the network. Requests that were refused are not in the log: the service counts them, with its queue and its times, at /metrics.") : null,
  ];
}

function line(day) {
  if (day.requests === null) return [day.day, "not counted", "", "", "", "", ""];
  const versions = day.versions.flatMap(({ version, rows }, at) => [at ? ", " : "", versionLink(version), ` (${number(rows)})`]);
  return [day.day, number(day.requests), number(day.rows), versions, milliseconds(day.seconds?.median), milliseconds(day.seconds?.p99), instant(day.last_at)];
}

const milliseconds = (seconds) => (seconds === null || seconds === undefined ? "unknown" : `${number(Number((seconds * 1000).toPrecision(2)), 1)} ms`);
