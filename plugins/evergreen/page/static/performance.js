// Performance over time: a live figure by version, slices, labels, volume, trainings; of any span of days.

import { inModel } from "./address.js";
import { chart, choices } from "./charts.js";
import { ask, el, empty, plural, problems } from "./dom.js";
import { liveFigure } from "./live_figure.js";
import { SPANS } from "./scrubber.js";
import { sliceCharts } from "./slice_charts.js";
import { trainingCharts } from "./training_charts.js";

const ALL = SPANS.at(-1)[0], DAY = 86400000;
const dayOf = (at) => new Date(at).toISOString().slice(0, 10);

/** Fill a place with the charts; what is chosen (figure, slices, days) stays chosen while the reader looks around. */
export function drawPerformance(place, facts, days) {
  const span = { facts, days, from: "", to: "", figure: 0, asked: new Map() };
  const from = el("input", { type: "date" }), to = el("input", { type: "date" }), charts = el("div");
  const spans = el("div", { class: "spans", role: "group", "aria-label": "Days shown of the performance" });
  const redraw = () => charts.querySelector('[aria-pressed="true"]')?.click();
  const show = () => {
    [from.value, to.value] = [span.from, span.to];
    for (const button of spans.children) button.setAttribute("aria-pressed", String(!span.from && !span.to && Number(button.value) === span.days));
    redraw();
  };
  const fetchSpan = async (count) => {
    if (count === span.days) return;
    place.setAttribute("aria-busy", "true");
    try {
      span.facts = await ask(inModel(`timeline/charts?days=${count}`));
      span.days = count;
      span.asked.clear();
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  const alerted = (problem) => charts.prepend(el("p", { class: "problem", role: "alert" }, problem.message));
  const choose = (count) => fetchSpan(count).then(() => (Object.assign(span, { from: "", to: "" }), show()), alerted);
  const between = () => {
    Object.assign(span, { from: from.value, to: to.value });
    const first = firstDay(span.facts);
    fetchSpan(span.from && first && span.from < first ? ALL : span.days).then(show, alerted);
  };
  const zoomed = (range) => {
    const [first, last] = range ? range.map((at) => Date.parse(`${String(at).slice(0, 10)}T00:00:00Z`)) : [];
    // Half a day is drawn before the first and after the last: a range that begins in one belongs to the next.
    Object.assign(span, range ? { from: dayOf(hours(range[0]) > 0 ? first + DAY : first), to: dayOf(last) } : { from: "", to: "" });
    show();
  };
  spans.append(...SPANS.map(([count, text]) => {
    const button = el("button", { type: "button", value: count, "aria-pressed": String(count === days) }, text);
    button.addEventListener("click", () => choose(count));
    return button;
  }));
  for (const input of [from, to]) input.addEventListener("change", between);
  const scope = { ...scopeOf(span), zoomed, changed: redraw };
  charts.append(choices("Charts of performance", [
    ["Live figure", () => liveFigure(span.facts, scope)], ["Slices", () => sliceCharts(span.facts, scope)], ["Labels", () => labels(span.facts, scope)],
    ["Volume", () => volume(span, scope)], ["Trainings", () => trainingCharts(span.facts, scope)],
  ]));
  place.replaceChildren(...[problems(facts.unreadable.slice(0, 3)), empty(facts.hint),
    el("div", { class: "filters" }, spans, el("label", null, "From ", from), el("label", null, "to ", to)), charts].flat(Infinity).filter(Boolean));
  place.removeAttribute("aria-busy");
}

const hours = (at) => Number(String(at).slice(11, 13)) || 0;
const daysOf = ({ live, labels, data_versions: versions, trainings }) => [...live.days, ...labels.days, ...versions.map(({ day }) => day), ...trainings.map((one) => one.last_day)].filter(Boolean).sort();
const firstDay = (facts) => daysOf(facts)[0], lastDay = (facts) => daysOf(facts).at(-1);

/** Which entries of a list of days the reader wants to see, and what is chosen. */
function scopeOf(span) {
  return {
    chosen: span,
    span: () => [span.from || firstDay(span.facts), `${span.to || lastDay(span.facts)}T23:59`],
    within: (day) => Boolean(day) && (!span.from || day >= span.from) && (!span.to || day <= span.to),
    steps: (days) => days.map((day, at) => ((!span.from || day >= span.from) && (!span.to || day <= span.to) ? at : -1)).filter((at) => at >= 0),
  };
}

export const DATES = { type: "date", tickformat: "%-d %b\n%Y" };
export const line = (name, x, y, style) => ({ type: "scatter", mode: "lines", name, x, y, ...style });
export const nothing = (what) => el("p", { class: "hint" }, `There is no ${what} on these days: choose other days.`);

// --- labels -----------------------------------------------------------------------------------------------

function labels({ live, labels: came }, scope) {
  const known = scope.steps(live.days), steps = scope.steps(came.days);
  const pick = (list, at) => at.map((step) => list[step]), days = pick(live.days, known), share = pick(live.coverage, known);
  const coverage = !share.some((one) => one !== null) ? nothing("label coverage") : chart({
    title: "Share of predicted rows with an outcome", zoomed: scope.zoomed, height: 260,
    about: "Over the trailing window up to each labelled day, and the least share that the settings accept.",
    draw: (theme) => ({
      data: [line("accepted from", days, days.map(() => came.min_coverage), { line: { color: theme.bad, width: 1.5, dash: "dash" } }),
        line("share with an outcome", days, share, { mode: "lines+markers", line: { color: theme.own, width: 2 }, marker: { size: 4 } })],
      layout: { xaxis: DATES, yaxis: { title: "share of rows", tickformat: ".0%", fixedrange: true } },
    }),
    heads: ["labelled day", "share with an outcome", "accepted from", "rows with an outcome that day"],
    rows: () => known.map((at) => [live.days[at], live.coverage[at], came.min_coverage, live.rows[at]]),
  });
  const delay = !steps.length ? nothing("arrival of labels") : chart({
    title: "Days until labels arrived", zoomed: scope.zoomed, height: 260,
    about: `After how many days the labels of each day came first, and their newest correction. The settings expect them after ${plural(came.label_delay_days, "day")}.`,
    draw: (theme) => {
      const x = pick(came.days, steps);
      return {
        data: [line("expected", x, x.map(() => came.label_delay_days), { line: { color: theme.base, width: 1.5, dash: "dash" } }),
          line("first came", x, pick(came.first, steps), { mode: "markers", marker: { color: theme.own, size: 5 } }),
          steps.some((at) => came.corrected[at] !== null) && line("corrected", x, pick(came.corrected, steps), { mode: "markers", marker: { color: theme.other, size: 7, symbol: "diamond-open" } })].filter(Boolean),
        layout: { xaxis: DATES, yaxis: { title: "days", rangemode: "tozero", fixedrange: true } },
      };
    },
    heads: ["labelled day", "first came after (days)", "corrected after (days)"], rows: () => steps.map((at) => [came.days[at], came.first[at], came.corrected[at] ?? "never"]),
  });
  return [coverage, delay];
}

// --- volume -----------------------------------------------------------------------------------------------

/** Rows of both assets, of what the contracts have counted; asked for when a reader looks. */
function volume(span, scope) {
  const place = el("div", { "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading…"));
  const asset = (name) => {
    if (!span.asked.has(name)) span.asked.set(name, ask(inModel(`data/quality?asset=${name}&days=${span.days}`)));
    return span.asked.get(name);
  };
  Promise.all(["inputs", "labels"].map(asset)).then(
    (both) => place.replaceChildren(...both.map((facts) => rowsOf(facts, scope))),
    (problem) => place.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message)),
  ).finally(() => place.removeAttribute("aria-busy"));
  return place;
}

function rowsOf(facts, scope) {
  const steps = scope.steps(facts.days).filter((at) => facts.rows[at] !== null), pick = (list) => steps.map((at) => list[at]);
  if (!steps.length) return nothing(`row count of ${facts.asset}`);
  return chart({
    title: `Rows of ${facts.asset} by day`, about: "Rows that came and rows that went on to scoring and training. Data → Data quality has their accepted range.",
    zoomed: scope.zoomed, height: 260,
    draw: (theme) => ({
      data: [line("rows that came", pick(facts.days), pick(facts.rows), { mode: "lines+markers", line: { color: theme.own, width: 2 }, marker: { size: 4 } }),
        line("rows that went on", pick(facts.days), pick(facts.accepted), { line: { color: theme.good, width: 1.5, dash: "dash" } })],
      layout: { xaxis: DATES, yaxis: { title: "rows", rangemode: "tozero", fixedrange: true } },
    }),
    heads: ["day", "rows that came", "went on", "quarantined", "rejected because"],
    rows: () => steps.map((at) => [facts.days[at], facts.rows[at], facts.accepted[at], facts.quarantined[at], facts.rejected[at] ?? ""]),
  });
}
