// The data registry: versions, days, what is in quarantine and why.

import { actionButton } from "./actions.js";
import { badge, el, empty, facts, file, instant, number, plural, problems, short, table } from "./dom.js";
import { excluded, rejections } from "./now.js";

export function drawData(data) {
  return [
    problems(data.unreadable),
    rejections(data),
    empty(data.hint),
    facts([
      ["newest day", data.newest_day],
      ["days in the registry", data.days_held && `${plural(data.days_held.inputs, "day")} of inputs, ${number(data.days_held.labels)} of labels${data.days_held.first_day ? `, from ${data.days_held.first_day}` : ""}`],
      ["missing days", data.missing_days?.length ? some(data.missing_days) : "none"],
      ["withdrawn", data.withdrawn?.length ? el("ul", { class: "plain" }, data.withdrawn.map((one) => el("li", null, `${one.asset} of ${one.day}${one.reason ? `: ${one.reason}` : ""}`))) : null],
      ["excluded from learning", excludedWithButton(data)],
      ["labels awaited", data.awaited_labels?.length ? some(data.awaited_labels) : "none"],
    ]),
    el("h3", null, "Data quality"),
    qualityLater(),
    el("h3", null, "Quarantine"),
    data.quarantine.length ? table("Rows in quarantine", ["day", "asset", "rows", "what became of them", "reason", "report"], data.quarantine.map((held) => [
      held.day, held.asset, held.rows === null ? "" : number(held.rows), badge(held.corrected ? "corrected" : held.rejected ? "rejected" : "quarantined", held.corrected ? "corrected since" : undefined),
      el("ul", { class: "plain" }, held.reasons.map((reason) => el("li", null, failure(reason)))), file(held.report, "validation report")]), { class: "wide" })
      : el("p", null, "No row is in quarantine."),
    el("h3", null, "Days"),
    data.days.length ? table("Days, newest first", ["day", "inputs are", "inputs", "labels", "reports"], data.days.map((day) => [
      day.day, [where(day), day.replayed && [" ", badge("replayed")], day.excluded ? [" ", badge("excluded"), ` ${day.excluded}`] : ""], screened(day.inputs), screened(day.labels),
      el("span", { class: "links" }, file(day.inputs?.report, "inputs"), file(day.labels?.report, "labels"))]), { class: "wide" }) : el("p", null, "No day yet."),
    el("h3", null, "Data versions"),
    data.versions.length ? table("Data versions, newest first", ["version", "committed", "what"], data.versions.map((version) => [
      short(version.rev), instant(version.committed_at), version.message]), { class: "wide" }) : el("p", null, "No version yet."),
  ];
}

function excludedWithButton({ excluded: periods, newest_day: newest }) {
  const button = newest && actionButton("exclude", "Exclude days…", { first_day: newest });
  return periods?.length || button ? [periods?.length ? excluded(periods) : "none ", button] : null;
}

/** Show the charts of data quality once their code has come, which no other part of the page needs. */
function qualityLater() {
  const place = el("div", { class: "charts", "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading…"));
  import("./data_quality.js").then(({ drawQuality }) => drawQuality(place));
  return place;
}

const some = (days) => (days.length > 8 ? `${days.slice(0, 8).join(", ")} and ${days.length - 8} more` : days.join(", "));

function where({ held, state, reason }) {
  const kind = state ?? (held ? "held" : "missing");
  const shown = kind === "held" ? badge("fresh", "in the registry") : badge(kind, kind === "rest" ? "no data expected" : undefined);
  return [shown, kind === "withdrawn" && reason ? `: ${reason}` : ""];
}

function screened(one) {
  if (!one) return "not here yet";
  if (one.withdrawn) return [badge("withdrawn"), ` ${one.withdrawn}`];
  if (one.rejected === null && one.rows === null) return "no validation report";
  if (one.rejected) return [badge("rejected"), ` ${one.rejected}`];
  const reason = (one.failures ?? []).map(failure).join("; ");
  return `${plural(one.rows, "row")}${one.quarantined ? `, ${number(one.quarantined)} in quarantine` : ""}${reason ? `: ${reason}` : ""}`;
}

function failure({ message, column, rows, examples }) {
  const named = column && !message.includes(column) ? `${column}: ` : "";
  return `${named}${message}${rows ? ` (${plural(rows, "row")})` : ""}${examples?.length ? `, for example ${examples.join(", ")}` : ""}`;
}
