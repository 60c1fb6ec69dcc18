// How far each column was on each day: a heat map in multiples of what is usual for the column.

import { badge, el, empty, file, fold, methodInWords, number, plural, problems, sentences, table } from "./dom.js";
import { heatLegend, heatMap } from "./heatmap.js";
import { spans, summary } from "./scrubber.js";

const WORDS = ["not measured", "usual", "above its baseline range", "above its limit", "above twice its limit"];
const ORDERS = {
  "by role": null,
  "by importance × distance": (facts) => (column) => importanceOf(facts, column) * newestRatio(column),
  "by distance": () => newestRatio,
  "by name": null,
};

let wanted = null;

/** Open a column on a day once the map is drawn that has it. */
export function openCell(day, column) {
  wanted = { day, column };
}

export function drawDrift(facts, days, choose) {
  const buttons = spans("Days shown in the heat map", days, choose);
  const unreadable = problems((facts.unreadable ?? []).slice(0, 3));
  if (!facts.days.length || !facts.columns.length) return [buttons, unreadable, empty(facts.hint, "No drift was measured yet.")];
  const map = el("div"), panel = el("div"), at = { row: 0, step: facts.days.length - 1 };
  let shown = null;
  const open = async (column, step) => {
    const { openColumn } = await import("./drift_column.js");
    openColumn(panel, facts, column, step, () => shown?.focus());
  };
  const { node, read } = controls(facts, draw);
  function draw() {
    const columns = read(), hidden = facts.columns.length - columns.length;
    shown = null;
    const note = hidden > 0 && el("p", { class: "quiet" }, `${plural(hidden, "column")} not shown.`);
    if (!columns.length) return map.replaceChildren(el("p", { class: "hint" }, "No column is left: search for less, or show the calm ones."));
    const byRole = columns.every((column, row) => row === 0 || place(facts, columns[row - 1]) <= place(facts, column));
    shown = heatMap({
      label: `Drift of ${plural(columns.length, "column")}, ${summary(facts.days[0], facts.days.at(-1), facts.days.length)}`,
      reads: "Day of the heat map; up and down choose the column, Enter opens it",
      rows: columns.map((column, row) => ({ name: column.column, title: `${column.column} (${column.role})`, parted: byRole && row > 0 && column.role !== columns[row - 1].role })),
      days: facts.days, level: (row, step) => level(facts, columns[row], step),
      tell: (row, step) => tell(facts, columns[row], step, open), open: (row, step) => open(columns[row], step), at,
    });
    map.replaceChildren(...shown.nodes, ...[note].filter(Boolean));
  }
  draw();
  if (wanted) {
    const step = facts.days.indexOf(wanted.day), row = facts.columns.findIndex(({ column }) => column === wanted.column);
    if (step >= 0 && row >= 0) {
      Object.assign(at, { row, step });
      draw();
      open(facts.columns[row], step);
    }
    wanted = null;
  }
  return [buttons, node, heatLegend(WORDS), unreadable, map, panel, empty(facts.hint), asTable(facts)];
}

const place = (facts, column) => facts.columns.indexOf(column);
const newestRatio = ({ ratio }) => ratio.findLast((one) => typeof one === "number") ?? -1;

/** Give by how much the newest champion's loss grows without a column; 0 where it does not read it, or nobody knows. */
export function importanceOf(facts, column) {
  const version = facts.versions.findLast((one) => one !== null);
  return column.versions[String(version)]?.importance ?? 0;
}

/** What is shown, and in which order. */
function controls(facts, changed) {
  const search = el("input", { type: "search", placeholder: "Search columns", "aria-label": "Search columns" });
  const order = el("select", { "aria-label": "Order of the columns" }, Object.keys(ORDERS).map((name) => el("option", null, name)));
  const calm = el("input", { type: "checkbox" });
  for (const [input, event] of [[search, "input"], [order, "change"], [calm, "change"]]) input.addEventListener(event, changed);
  const read = () => {
    const wanted = search.value.trim().toLowerCase();
    const kept = facts.columns.filter((column) => column.column.toLowerCase().includes(wanted)
      && !(calm.checked && facts.days.every((_, step) => level(facts, column, step) < 2)));
    const worth = ORDERS[order.value]?.(facts);
    if (worth) return kept.toSorted((one, other) => worth(other) - worth(one));
    return order.value === "by name" ? kept.toSorted((one, other) => one.column.localeCompare(other.column)) : kept;
  };
  return { node: el("div", { class: "filters" }, search, order, el("label", { class: "check" }, calm, " hide the calm ones")), read };
}

/** Say how a cell is: 0 not measured, 1 usual, 2 above its baseline range, 3 above its limit, 4 above twice its limit. */
function level(facts, column, step) {
  const score = column.score[step], known = column.versions[String(facts.versions[step])];
  if (score === null || score === undefined) return 0;
  const ratio = column.ratio[step] ?? (known?.limit ? score / known.limit : null);
  if (ratio !== null && ratio > 2) return 4;
  if (ratio !== null && ratio > 1) return 3;
  if (known?.baseline_range !== null && known?.baseline_range !== undefined) return score > known.baseline_range ? 2 : 1;
  return ratio === null ? 0 : 1;
}

/** Say how far a column was on a day: ``1.4 times its limit: above its limit``. */
export function distanceInWords(facts, column, step) {
  const score = column.score[step], ratio = column.ratio[step], how = WORDS[level(facts, column, step)];
  return score === null || score === undefined ? how : `${number(score)}${typeof ratio === "number" ? `, ${number(ratio, 1)} times its limit` : ""}: ${how}`;
}

function tell(facts, column, step, open) {
  const day = facts.days[step], known = column.versions[String(facts.versions[step])] ?? {};
  const measured = distanceInWords(facts, column, step);
  const matters = { true: "matters to the model", false: "matters little to the model" }[String(known.matters)] ?? "";
  const button = el("button", { type: "button" }, `Distributions of ${column.column}`);
  button.addEventListener("click", () => open(column, step));
  return {
    text: `${column.column}, ${day}: ${measured}`,
    more: [
      el("p", null, el("strong", null, `${column.column}, ${day}`), facts.replayed?.includes(day) && [" ", badge("replayed")], ` ${measured}`),
      el("p", { class: "quiet" }, [column.role, known.method && methodInWords(known.method), known.limit && `limit ${number(known.limit)}`,
        known.baseline_range !== null && known.baseline_range !== undefined && `baseline range up to ${number(known.baseline_range)}`, matters].filter(Boolean).join(" · ")),
      el("div", { class: "links" }, button, file(facts.reports[step], `Evidently report of ${day}`), el("div", null, facts.status[step] && ["the day: ", badge(facts.status[step]), " "], sentences([facts.reasons[step] ?? ""], 2))),
    ],
  };
}

function asTable(facts) {
  const details = fold("The heat map as a table");
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const newest = facts.days.length - 1;
    details.append(table("Drift by column", ["column", "role", "newest", "days above its limit", "worst day", "then"], facts.columns.map((column) => {
      const over = facts.days.filter((_, step) => level(facts, column, step) > 2).length;
      const worst = column.ratio.reduce((best, ratio, step) => (typeof ratio === "number" && ratio > (column.ratio[best] ?? -1) ? step : best), 0);
      return [column.column, column.role, WORDS[level(facts, column, newest)], number(over),
        file(facts.reports[worst], facts.days[worst]) ?? facts.days[worst], `${number(column.ratio[worst], 1)} times its limit`];
    })));
  });
  return details;
}
