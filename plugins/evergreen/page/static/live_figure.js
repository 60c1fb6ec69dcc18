// One live figure over time: the trailing window with its interval, each day alone, what was expected, and who served.

import { chart } from "./charts.js";
import { el, intervalName, plural } from "./dom.js";
import { DATES, line, nothing } from "./performance.js";

const MOST_NAMES = 14, NARROW = 480;
const TOGETHER = "The line is the trailing window up to each labelled day, the band its interval; a dot is one day alone.";

export function liveFigure(facts, scope) {
  const { figures } = facts.live;
  if (!figures.length) return nothing("live figure");
  const chosen = Math.min(scope.chosen.figure, figures.length - 1), choice = el("select", null, figures.map(({ label }, at) => el("option", { value: at, selected: at === chosen }, label)));
  choice.addEventListener("change", () => {
    scope.chosen.figure = Number(choice.value);
    scope.changed();
    document.querySelector(".chosen-chart select")?.focus();
  });
  const figure = figures[chosen], skill = figures.find(({ name }) => name === "skill");
  const beside = figure.better === "lower" && !figure.base_rate.some((one) => one !== null) && skill && skill !== figure;
  return [el("p", { class: "filters" }, el("label", null, "Figure ", choice)), drawn(facts, figure, scope), beside && drawn(facts, skill, scope)];
}

function drawn(facts, figure, scope) {
  const { live } = facts, steps = scope.steps(live.days).filter((at) => figure.value[at] !== null || figure.daily[at] !== null);
  if (!steps.length) return nothing(figure.label);
  const pick = (list) => steps.map((at) => list[at]), days = pick(live.days), has = (name) => steps.some((at) => figure[name][at] !== null);
  const loss = has("base_rate");
  return chart({
    title: loss ? `${figure.label}, compared with that of the base rate` : figure.label, height: 380, zoomed: scope.zoomed,
    about: loss ? `${TOGETHER} A loss follows how hard the days are: it is good as far as it is below the base rate's.` : TOGETHER,
    draw: (theme, width) => ({
      data: [
        has("low") && line("lower end", days, pick(figure.low), { connectgaps: true, line: { width: 0 }, showlegend: false, hoverinfo: "skip" }),
        has("low") && line(intervalName(facts.confidence), days, pick(figure.high), { connectgaps: true, line: { width: 0 }, fill: "tonexty", fillcolor: theme.band, hoverinfo: "skip" }),
        has("expected") && line("expected from the holdout", days, pick(figure.expected), { line: { color: theme.base, width: 1.5, dash: "dash" } }),
        loss && line("base rate's", days, pick(figure.base_rate), { line: { color: theme.warn, width: 1.5, dash: "dot" } }),
        has("daily") && line("one day", days, pick(figure.daily), { mode: "markers", marker: { size: 5, color: pick(live.served_by).map((version) => shade(theme, version, facts)) }, opacity: 0.6 }),
        ...byVersion(facts, steps).map(([version, at], place, all) => line(`version ${version}`, at.map((step) => live.days[step]), at.map((step) => figure.value[step]), {
          mode: at.length > 1 ? "lines" : "markers", showlegend: width >= NARROW && place < 8 && all.findIndex(([first]) => first === version) === place, line: { color: shade(theme, version, facts), width: 2.5 }, marker: { color: shade(theme, version, facts), size: 6 } })),
      ].filter(Boolean),
      layout: { xaxis: DATES, yaxis: { title: figure.label.length < 34 ? figure.label : "", fixedrange: true }, margin: { t: 26 }, ...tenures(facts, days, theme, width),
        legend: { y: width < NARROW ? -0.32 : -0.16, yanchor: "top" } },
    }),
    heads: ["labelled day", "measured on", "version", "served by", figure.label, "from", "to", "that day alone", "expected", ...(loss ? ["base rate's"] : []), "labelled days", "rows that day"],
    rows: () => steps.map((at) => [live.days[at], live.monitored[at], live.version[at], live.served_by[at] ?? "nobody", ...["value", "low", "high", "daily", "expected", ...(loss ? ["base_rate"] : [])].map((name) => figure[name][at]),
      live.window_days[at], live.rows[at]]),
  });
}

/** Versions take turns in two colours, so that neighbours differ. */
function shade(theme, version, { champion_tenures: all }) {
  const order = [...new Set(all.map((tenure) => tenure.version))];
  return order.indexOf(version) % 2 ? theme.other : theme.own;
}

/** Runs of days on which the same version was measured, in order. */
function byVersion({ live }, steps) {
  const runs = [];
  for (const at of steps) {
    if (runs.length && runs.at(-1)[0] === live.version[at]) runs.at(-1)[1].push(at);
    else runs.push([live.version[at], [at]]);
  }
  return runs;
}

/** A line where another version began to serve, named where there is room. */
function tenures({ champion_tenures: all }, days, theme, width) {
  const shown = all.filter(({ first_day: first }) => first > days[0] && first <= days.at(-1)), named = shown.length <= Math.min(MOST_NAMES, width / 60);
  return {
    shapes: shown.map(({ first_day: x }) => ({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: theme.quiet, width: 1, dash: "dot" } })),
    annotations: !named ? [] : shown.map(({ first_day: x, version }) => ({ x, yref: "paper", y: 1, yanchor: "bottom", text: `v${version}`, showarrow: false, font: { size: 11, color: theme.quiet }, hovertext: `${plural(1, "version")} ${version} serves from ${x}` })),
  };
}
