// What the contracts said, day by day: expectations, quarantined rows by reason, row counts, nulls; and the rows themselves.

import { inModel } from "./address.js";
import { asText, chart, choices, faint, tableFold } from "./charts.js";
import { ask, el, empty, number, plural, problems } from "./dom.js";
import { heatLegend, heatMap } from "./heatmap.js";
import { openRows } from "./quarantine.js";
import { spans, summary } from "./scrubber.js";

const WORDS = ["no result", "met", "not evaluated", "broken: its rows are quarantined", "broken: the day is rejected"];
const MOST_ROWS = 60, DAYS = 90, MOST_TIMES = 4;
const DATES = { type: "date", tickformat: "%-d %b\n%Y" };

/** Fill a place with the charts of an asset, and again whenever the reader asks for another asset or span. */
export function drawQuality(place, asset = "inputs", days = DAYS) {
  place.setAttribute("aria-busy", "true");
  const choice = el("select", { "aria-label": "Data asset" }, ["inputs", "labels"].map((name) => el("option", { selected: name === asset }, name)));
  choice.addEventListener("change", () => drawQuality(place, choice.value, days));
  const head = el("div", { class: "filters" }, choice, spans("Days shown of the data quality", days, (span) => drawQuality(place, asset, span)));
  return ask(inModel(`data/quality?asset=${asset}&days=${days}`)).then(
    (facts) => place.replaceChildren(...[head, ...drawn(facts)].flat(Infinity).filter(Boolean)),
    (problem) => place.replaceChildren(head, el("p", { class: "problem", role: "alert" }, problem.message)),
  ).finally(() => place.removeAttribute("aria-busy"));
}

function drawn(facts) {
  if (!facts.days.length) return [empty(facts.hint, "No day was ingested yet.")];
  const rows = el("div"), open = (day, leave) => openRows(rows, facts.asset, day, facts.kept_out.includes(day), leave);
  const options = [["Expectations", () => expectations(facts, open)]];
  if (facts.reasons.length) options.push(["Quarantined rows", () => reasons(facts)]);
  options.push(["Row counts", () => rowCounts(facts)]);
  if (facts.nulls.length) options.push(["Nulls", () => nulls(facts)]);
  return [problems(facts.unreadable.slice(0, 3)), choices("Charts of the data quality", options), keptOut(facts, open), rows];
}

/** Let the reader choose a day of which rows were kept out. */
function keptOut({ kept_out: days, asset }, open) {
  if (!days.length) return el("p", { class: "quiet" }, `No row of ${asset} of these days is in quarantine.`);
  const choice = el("select", null, days.toReversed().map((day) => el("option", null, day)));
  const button = el("button", { type: "button" }, "Show the rows");
  button.addEventListener("click", () => open(choice.value, () => button.focus()));
  return el("p", { class: "filters" }, el("label", null, "Rows in quarantine of ", choice), button);
}

// --- expectations by day ------------------------------------------------------------------------------------

const level = ({ states, level: of }, step) => ({ m: 1, n: 2, u: of === "row" ? 3 : 4 })[states[step]] ?? 0;

function expectations(facts, open) {
  const search = el("input", { type: "search", placeholder: "Search expectations", "aria-label": "Search expectations" });
  const broken = el("input", { type: "checkbox" }), map = el("div"), at = { row: 0, step: facts.days.length - 1 };
  const draw = () => {
    const wanted = search.value.trim().toLowerCase();
    const fitting = facts.expectations.filter((one) => one.rule.toLowerCase().includes(wanted) && !(broken.checked && !/[un]/.test(one.states)));
    const shown = fitting.slice(0, MOST_ROWS);
    if (!shown.length) return map.replaceChildren(el("p", { class: "hint" }, facts.expectations.length ? "No expectation is left." : "No result of a contract is kept for these days."));
    const cells = heatMap({
      label: `${plural(shown.length, "expectation")} of ${facts.asset}, ${summary(facts.days[0], facts.days.at(-1), facts.days.length)}`,
      reads: "Day of the expectations; up and down choose the expectation, Enter opens the day's rows",
      rows: shown.map(({ rule, level: of }) => ({ name: rule, title: `${rule} (${of === "row" ? "quarantines rows" : "rejects the day"})` })),
      days: facts.days, level: (row, step) => level(shown[row], step), at,
      tell: (row, step) => tell(facts, shown[row], step, () => open(facts.days[step], () => cells.focus())),
      open: (row, step) => open(facts.days[step], () => cells.focus()),
    });
    const rest = fitting.length - shown.length;
    map.replaceChildren(...cells.nodes, ...(rest > 0 ? [el("p", { class: "quiet" }, `${plural(rest, "more expectation")} in the table; search for less to see them here.`)] : []));
  };
  for (const [input, event] of [[search, "input"], [broken, "change"]]) input.addEventListener(event, draw);
  draw();
  const counted = ({ states }) => [...states].filter((state) => state === "u").length;
  return [
    el("div", { class: "filters" }, search, el("label", { class: "check" }, broken, " only those that were broken")), heatLegend(WORDS), map,
    tableFold("The expectations as a table", "Expectations", ["expectation", "a breach", "days met", "days broken", "broken last"], () => facts.expectations.map((one) => [
      one.rule, one.level === "row" ? "quarantines rows" : "rejects the day", [...one.states].filter((state) => state === "m").length, counted(one), facts.days[one.states.lastIndexOf("u")] ?? "never"])),
  ];
}

function tell(facts, one, step, open) {
  const day = facts.days[step], how = WORDS[level(one, step)], button = el("button", { type: "button" }, `Rows of ${day}`);
  button.addEventListener("click", open);
  const counts = facts.rows[step] === null ? "no result is kept" : `${plural(facts.rows[step], "row")}, ${number(facts.quarantined[step])} in quarantine`;
  return {
    text: `${one.rule}, ${day}: ${how}`,
    more: [el("p", null, el("strong", null, `${one.rule}, ${day}`), ` ${how}`),
      el("p", { class: "quiet" }, facts.rejected[step] ? `${counts}; the day was rejected: ${facts.rejected[step]}` : counts),
      facts.kept_out.includes(day) && el("div", { class: "links" }, button)],
  };
}

// --- rows by reason, row counts, nulls ------------------------------------------------------------------------

const cut = (text, most) => asText(text.length > most ? `${text.slice(0, most)}…` : text);

function reasons(facts) {
  return chart({
    title: `Rows of ${facts.asset} that were kept out, by reason`, height: 340 + 20 * facts.reasons.length,
    about: "A row that breaks two expectations counts under both. Of a rejected day all rows count.",
    draw: (theme, width) => {
      const hues = [theme.own, theme.other, theme.quiet, theme.good, theme.warn, theme.bad];
      return {
        data: facts.reasons.map(({ reason, rows }, at) => ({ type: "bar", name: cut(reason, width / 8), x: facts.days, y: rows,
          marker: { color: faint(hues[at % hues.length], "cc"), pattern: { shape: ["", "/", "x"][Math.floor(at / hues.length) % 3] } }, hovertemplate: `%{x}: %{y:,} rows<extra>${cut(reason, 60)}</extra>` })),
        layout: { barmode: "stack", showlegend: true, xaxis: DATES, yaxis: { title: "rows" }, legend: { orientation: "v", y: -0.18, yanchor: "top" } },
      };
    },
    heads: ["day", ...facts.reasons.map(({ reason }) => reason)], rows: () => facts.days.map((day, at) => [day, ...facts.reasons.map(({ rows }) => rows[at])]),
  });
}

function rowCounts(facts) {
  const out = facts.days.map((_, at) => (facts.rejected[at] ? facts.rows[at] : null)), ranged = facts.lowest_rows.some((low) => low !== null);
  // The contract of the first days accepts any number: such a range is drawn up to the edge, and the axis follows the rows.
  const most = Math.max(...facts.rows.map((count) => count ?? 0), 1), fitting = facts.highest_rows.filter((high) => high !== null && high <= MOST_TIMES * most);
  const top = 1.05 * Math.max(most, ...fitting);
  const line = (theme, name, y, style) => ({ type: "scatter", mode: "lines", name, x: facts.days, y, ...style });
  return chart({
    title: `Rows of ${facts.asset} by day`, about: ranged ? "Rows that came and rows that went on, and the row counts that the contract accepted on that day." : "Rows that came and rows that went on. No range of accepted row counts is kept for these days.",
    draw: (theme) => ({
      data: [
        ranged && line(theme, "accepted from", facts.lowest_rows, { connectgaps: true, line: { width: 0 }, showlegend: false, hoverinfo: "skip" }),
        ranged && line(theme, "accepted range", facts.highest_rows, { connectgaps: true, line: { width: 0 }, fill: "tonexty", fillcolor: theme.band, hoverinfo: "skip" }),
        line(theme, "rows that came", facts.rows, { mode: "lines+markers", line: { color: theme.own, width: 2 }, marker: { size: 4 } }),
        line(theme, "rows that went on", facts.accepted, { line: { color: theme.good, width: 1.5, dash: "dash" } }),
        out.some((count) => count !== null) && line(theme, "day rejected", out, { mode: "markers", marker: { color: theme.bad, symbol: "x", size: 9 } }),
      ].filter(Boolean),
      layout: { xaxis: DATES, yaxis: { title: "rows", range: [0, top] } },
    }),
    heads: ["day", "rows that came", "went on", "quarantined", "accepted from", "accepted to", "rejected because"],
    rows: () => facts.days.map((day, at) => [day, facts.rows[at], facts.accepted[at], facts.quarantined[at], facts.lowest_rows[at], facts.highest_rows[at], facts.rejected[at] ?? ""]),
  });
}

function nulls(facts) {
  const worst = ({ share }) => Math.max(...share.map((one) => one ?? 0)), order = facts.nulls.toSorted((one, other) => worst(other) - worst(one));
  const place = el("div"), choice = el("select", null, order.map(({ column }, at) => el("option", { value: at }, column)));
  const show = () => place.replaceChildren(nullsOf(facts, order[Number(choice.value)]));
  choice.addEventListener("change", show);
  show();
  return [el("p", { class: "filters" }, el("label", null, "Column, most nulls first: ", choice)), place];
}

function nullsOf(facts, { column, share, highest }) {
  return chart({
    title: `Nulls of ${column} by day`, about: "The share of rows without a value, and the highest share that the contract accepted on that day.",
    draw: (theme) => ({
      data: [
        { type: "scatter", mode: "lines+markers", name: "share of nulls", x: facts.days, y: share, line: { color: theme.own, width: 2 }, marker: { size: 4 } },
        { type: "scatter", mode: "lines", name: "accepted up to", x: facts.days, y: highest, line: { color: theme.bad, width: 1.5, dash: "dash", shape: "hvh" } },
      ],
      layout: { xaxis: DATES, yaxis: { title: "share of rows", tickformat: ".1%", rangemode: "tozero" } },
    }),
    heads: ["day", "share of nulls", "accepted up to"], rows: () => facts.days.map((day, at) => [day, share[at], highest[at]]),
  });
}
