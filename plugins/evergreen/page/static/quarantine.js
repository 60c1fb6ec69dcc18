// The rows of a day that its contract kept out, as a table and as files.

import { inModel } from "./address.js";
import { ask, el, file, link, number, plural, table } from "./dom.js";

const WHAT = { rows: "Rows in quarantine", partition: "The rejected day, as it came" };

/** Open the rows of a day in ``place``; ``leave`` puts the focus back to where the reader came from. */
export function openRows(place, asset, day, any, leave) {
  const close = el("button", { type: "button" }, "Close"), heading = el("h3", { id: "kept-out", tabindex: -1 }, `${asset} of ${day}: rows kept out`);
  const answer = el("div", null, any ? el("p", { class: "quiet" }, "Loading…") : el("p", null, `No row of ${asset} of ${day} is in quarantine.`));
  const panel = el("section", { class: "panel", "aria-labelledby": "kept-out" }, el("div", { class: "panel-head" }, heading, close), answer);
  close.addEventListener("click", () => (panel.remove(), leave()));
  panel.addEventListener("keydown", (event) => event.key === "Escape" && close.click());
  place.replaceChildren(panel);
  heading.focus();
  if (!any) return;
  answer.setAttribute("aria-busy", "true");
  ask(inModel(`data/quarantine?asset=${asset}&day=${encodeURIComponent(day)}`)).then(
    ({ tables }) => answer.replaceChildren(...tables.flatMap((one) => kept(asset, day, one))),
    (problem) => answer.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message)),
  ).finally(() => answer.removeAttribute("aria-busy"));
}

function kept(asset, day, { what, columns, rows, total, file: name, csv_rows: inCsv }) {
  const order = [...columns.keys()].sort((one, other) => (columns[other] === "reasons") - (columns[one] === "reasons"));
  const csv = link(`api/${inModel(`data/quarantine.csv?asset=${asset}&day=${encodeURIComponent(day)}&what=${what}`)}`, inCsv < total ? `CSV (the first ${number(inCsv)} rows)` : "CSV", { download: `${asset}-${day}-${what}.csv` });
  return [
    el("p", null, el("strong", null, WHAT[what]), `: ${plural(total, "row")}${rows.length < total ? `, of which the first ${number(rows.length)} are here` : ""}.`),
    el("p", { class: "links" }, csv, file(name, "Parquet, all rows")),
    el("div", { class: "kept-rows" }, table(`${WHAT[what]}, ${asset} of ${day}`, order.map((at) => columns[at]), rows.map((row) => order.map((at) => row[at])), { class: "small" })),
  ];
}
