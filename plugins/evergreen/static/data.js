// The data registry: versions, days, what is in quarantine and why.

import { badge, el, empty, facts, file, instant, number, plural, problems, short, table } from "./dom.js";

export function drawData(data) {
  return [
    problems(data.unreadable),
    empty(data.hint),
    facts([
      ["newest day", data.newest_day],
      ["days held", data.days_held && `${plural(data.days_held.inputs, "day")} of inputs, ${number(data.days_held.labels)} of labels${data.days_held.first_day ? `, from ${data.days_held.first_day}` : ""}`],
      ["missing days", data.missing_days?.length ? some(data.missing_days) : "none"],
      ["labels awaited", data.awaited_labels?.length ? some(data.awaited_labels) : "none"],
    ]),
    el("h3", null, "Quarantine"),
    data.quarantine.length ? table("Rows in quarantine", ["day", "asset", "rows", "what became of them", "why", "report"], data.quarantine.map((held) => [
      held.day, held.asset, held.rows === null ? "" : number(held.rows), badge(held.mended ? "mended" : held.refused ? "refused" : "quarantined"),
      el("ul", { class: "plain" }, held.reasons.map((reason) => el("li", null, failure(reason)))), file(held.report, "validation report")]), { class: "wide" })
      : el("p", null, "No row is in quarantine."),
    el("h3", null, "Days"),
    data.days.length ? table("Days, newest first", ["day", "held", "inputs", "labels", "reports"], data.days.map((day) => [
      day.day, badge(day.held ? "held" : "missing"), screened(day.inputs), screened(day.labels),
      el("span", { class: "links" }, file(day.inputs?.report, "inputs"), file(day.labels?.report, "labels"))]), { class: "wide" }) : el("p", null, "No day yet."),
    el("h3", null, "Data versions"),
    data.versions.length ? table("Data versions, newest first", ["version", "committed", "what"], data.versions.map((version) => [
      short(version.rev), instant(version.committed_at), version.message]), { class: "wide" }) : el("p", null, "No version yet."),
  ];
}

const some = (days) => (days.length > 8 ? `${days.slice(0, 8).join(", ")} and ${days.length - 8} more` : days.join(", "));

function screened(one) {
  if (!one) return "not screened";
  if (one.refused === null && one.rows === null) return "no screening report";
  if (one.refused) return [badge("refused"), ` ${one.refused}`];
  const why = (one.failures ?? []).map(failure).join("; ");
  return `${plural(one.rows, "row")}${one.quarantined ? `, ${number(one.quarantined)} in quarantine` : ""}${why ? `: ${why}` : ""}`;
}

function failure({ message, column, rows, examples }) {
  const named = column && !message.includes(column) ? `${column}: ` : "";
  return `${named}${message}${rows ? ` (${plural(rows, "row")})` : ""}${examples?.length ? `, for example ${examples.join(", ")}` : ""}`;
}
