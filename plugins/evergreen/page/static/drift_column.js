// One column on one day: how it was distributed in the reference and is in the window, and its distance over time.

import { inModel } from "./address.js";
import { asText, chart, faint } from "./charts.js";
import { ask, el, facts as listed, file, methodInWords, number, plural } from "./dom.js";
import { distanceInWords, importanceOf } from "./drift.js";

const SIDES = ["reference", "current"];
const share = (value) => (value === null || value === undefined ? "unknown" : `${number(100 * value, 1)} %`);

/** Open a column in ``place``; ``leave`` puts the focus back to where the reader came from. */
export function openColumn(place, facts, column, step, leave) {
  const day = facts.days[step], close = el("button", { type: "button" }, "Close");
  const heading = el("h3", { id: "drift-column", tabindex: -1 }, `${column.column}, ${day}`), answer = el("div", { "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading…"));
  const panel = el("section", { class: "panel", "aria-labelledby": "drift-column" }, el("div", { class: "panel-head" }, heading, close), about(facts, column, step), answer, distances(facts, column, step));
  close.addEventListener("click", () => (panel.remove(), leave()));
  panel.addEventListener("keydown", (event) => event.key === "Escape" && close.click());
  place.replaceChildren(panel);
  heading.focus();
  ask(inModel(`drift/column?day=${encodeURIComponent(day)}&column=${encodeURIComponent(column.column)}`)).then(
    (found) => answer.replaceChildren(...[distribution(found, column)].flat(Infinity).filter(Boolean)),
    (problem) => answer.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message)),
  ).finally(() => answer.removeAttribute("aria-busy"));
}

function about(facts, column, step) {
  const known = column.versions[String(facts.versions[step])] ?? {};
  return listed([
    ["role", column.role], ["distance", `${distanceInWords(facts, column, step)}${known.method ? ` (${methodInWords(known.method)})` : ""}`],
    ["limit", known.limit && number(known.limit)],
    ["baseline range", typeof known.baseline_range === "number" ? `up to ${number(known.baseline_range)}` : null],
    ["champion depends on it", dependence(facts, column, known)],
  ]);
}

function dependence(facts, column, known) {
  if (column.role === "prediction" || column.role === "label") return null;
  if (typeof known.importance !== "number") return known.matters === false ? "no" : "not known";
  if (known.importance <= 0) return "no: it does not read it, or loses nothing without it";
  const rank = 1 + facts.columns.filter((other) => importanceOf(facts, other) > importanceOf(facts, column)).length;
  return `its loss grows by ${number(known.importance, 4)} without it (place ${rank} of ${plural(facts.columns.length, "column")})${known.matters === false ? ", which is little" : ""}`;
}

function distribution(found, column) {
  const { distribution: counted, message, first_day: first, day, version } = found;
  if (!counted) return [el("p", { class: "hint" }, message), el("p", null, file(found.report, "Evidently report"))];
  const names = { reference: `reference of version ${version}`, current: first && first !== day ? `${first} to ${day}` : day };
  const nulls = `Without a value: ${share(counted.null_share.reference)} in the reference, ${share(counted.null_share.current)} in the window.`;
  const rows = `${plural(counted.rows.reference, "row")} of the reference, ${number(counted.rows.current)} of the window (samples).`;
  const words = `Shares of the rows that hold a value. ${rows} ${nulls}`;
  return [counted.bins ? numbers(counted.bins, names, words, column) : [categories(counted.categories, names, words, column), moved(counted)], el("p", null, file(found.report, "Evidently report"))];
}

const bars = (theme, side, more) => ({ type: "bar", marker: { color: side === "reference" ? faint(theme.quiet, "aa") : faint(theme.own, "cc") }, ...more });

function numbers({ edges, lowest, highest, ...shares }, names, words, { column }) {
  const middle = edges.slice(1).map((edge, at) => (edge + edges[at]) / 2), shown = SIDES.filter((side) => shares[side]);
  return chart({
    title: `${column}: reference and window`, about: `${words} From ${number(lowest)} to ${number(highest)}; the outermost bars hold what lies beyond.`,
    draw: (theme) => ({
      data: shown.map((side) => bars(theme, side, { name: names[side], x: middle, y: shares[side], hovertemplate: "about %{x:.4g}: %{y:.1%}<extra></extra>" })),
      layout: { barmode: "group", bargap: 0.12, xaxis: { title: column }, yaxis: { title: "share of rows", tickformat: ".0%" } },
    }),
    heads: ["from", "to", ...shown.map((side) => names[side])], rows: () => middle.map((_, at) => [edges[at], edges[at + 1], ...shown.map((side) => shares[side][at])]),
  });
}

function categories(counted, names, words, { column }) {
  const others = counted.others > 0, all = [...counted.names, ...(others ? [`${plural(counted.others, "other")}`] : [])];
  const of = (side) => [...counted[side], ...(others ? [counted.other[side]] : [])], at = all.map((_, place) => place);
  return chart({
    title: `${column}: reference and window`, about: words, height: 90 + 34 * all.length,
    draw: (theme, width) => ({
      data: SIDES.map((side) => bars(theme, side, { orientation: "h", name: names[side], x: of(side), y: at, text: all.map(asText), textposition: "none", hovertemplate: "%{text}: %{x:.1%}<extra></extra>" })),
      layout: { barmode: "group", bargap: 0.25, xaxis: { title: "share of rows", tickformat: ".0%" },
        yaxis: { tickvals: at, ticktext: all.map((name) => asText(name.length > width / 22 ? `${name.slice(0, width / 22)}…` : name)), autorange: "reversed", zeroline: false } },
    }),
    heads: ["category", ...SIDES.map((side) => names[side])], rows: () => all.map((name, place) => [name, of("reference")[place], of("current")[place]]),
  });
}

/** Name the categories that came, and those that went. */
function moved({ came, came_count: more, went, went_count: less }) {
  const line = (list, count) => (count ? `${list.map(([name, part]) => `${name} (${share(part)})`).join(", ")}${count > list.length ? ` and ${number(count - list.length)} more` : ""}` : "none");
  return listed([["new categories", line(came, more)], ["categories that are gone", line(went, less)]]);
}

function distances(facts, column, step) {
  const known = facts.versions.map((version) => column.versions[String(version)] ?? {});
  const of = (name) => known.map((one) => one[name] ?? null);
  return chart({
    title: `${column.column}: distance over time`, about: "The distance of each day's window from the reference of the version that served, its limit, and the range of blocks of days inside the reference.",
    draw: (theme) => ({
      data: [
        { type: "scatter", mode: "lines", name: "baseline range", x: facts.days, y: of("baseline_range"), line: { width: 0, shape: "hvh" }, fill: "tozeroy", fillcolor: theme.band, hoverinfo: "skip" },
        { type: "scatter", mode: "lines", name: "limit", x: facts.days, y: of("limit"), line: { color: theme.bad, width: 1.5, dash: "dash", shape: "hvh" } },
        { type: "scatter", mode: "lines+markers", name: "distance", x: facts.days, y: column.score, line: { color: theme.own, width: 2 }, marker: { size: 4 } },
        { type: "scatter", mode: "markers", name: "this day", x: [facts.days[step]], y: [column.score[step]], marker: { color: theme.ink, size: 11, symbol: "circle-open", line: { width: 2 } } },
      ],
      layout: { xaxis: { type: "date", tickformat: "%-d %b\n%Y" }, yaxis: { title: "distance", rangemode: "tozero" } },
    }),
    heads: ["day", "version", "distance", "limit", "baseline range"],
    rows: () => facts.days.map((day, at) => [day, facts.versions[at], column.score[at], known[at].limit ?? null, known[at].baseline_range ?? null]),
  });
}
