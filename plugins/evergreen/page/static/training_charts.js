// Trainings with what they took, and data versions by the day on which they were committed.

import { chart } from "./charts.js";
import { el, instant, number, plural } from "./dom.js";
import { DATES, nothing } from "./performance.js";

const SERVED = { champion: "promoted", replaced: "promoted", "rolled back": "rolled back", withdrawn: "withdrawn", held: "held", rejected: "rejected" };
const LOOKS = { promoted: ["good", "circle"], held: ["warn", "square"], rejected: ["bad", "x"], "rolled back": ["bad", "triangle-down"], withdrawn: ["bad", "triangle-down-open"], "not decided": ["quiet", "circle-open"] };
const became = ({ outcome }) => SERVED[outcome] ?? "not decided";
const sum = (all, name) => all.reduce((total, one) => total + (one[name] ?? 0), 0);

export function trainingCharts(facts, scope) {
  return [trainings(facts, scope), versions(facts, scope)];
}

function trainings({ trainings: all, cost }, scope) {
  const shown = all.filter((one) => scope.within(one.last_day)), timed = shown.filter(({ seconds }) => seconds !== null);
  if (!shown.length) return nothing("training");
  const money = cost ? `, and a cost of ${number(cost * shown.length, 2)} at ${number(cost, 2)} each (retrain.cost in the settings)` : "";
  return chart({
    title: "Trainings, and how long their fits took", zoomed: scope.zoomed,
    about: `${plural(shown.length, "training")} with labels up to these days: ${number(sum(timed, "seconds"), 1)} seconds of fitting${money}. A search and the judgement are not counted.`,
    draw: (theme) => ({
      data: Object.entries(LOOKS).map(([name, [color, symbol]]) => {
        const of = timed.filter((one) => became(one) === name);
        return of.length && { type: "scatter", mode: "markers", name, x: of.map((one) => one.last_day), y: of.map((one) => one.seconds), text: of.map((one) => `version ${one.version}`),
          hovertemplate: "%{text}: %{y:.1f} s, labels up to %{x}<extra></extra>", marker: { color: theme[color], symbol, size: 9 } };
      }).filter(Boolean),
      layout: { xaxis: { ...DATES, range: scope.span() }, yaxis: { title: "seconds", rangemode: "tozero", fixedrange: true }, showlegend: true },
    }),
    heads: ["version", "labels up to", "became", "requested by", "rows", "seconds", ...(cost ? ["cost"] : []), "registered at", "data version"],
    rows: () => shown.map((one) => [one.version, one.last_day, one.outcome, one.requested_by, one.rows, one.seconds, ...(cost ? [cost] : []), instant(one.created_at), (one.data_version ?? "").slice(0, 10)]),
  });
}

function versions({ data_versions: all }, scope) {
  const shown = all.filter(({ day }) => scope.within(day));
  if (!shown.length) return el("p", { class: "quiet" }, "No data version was committed on these days; a history that is landed at once is committed on the day of landing.");
  return chart({
    title: "Data versions by the day of their commit", zoomed: scope.zoomed, height: 240, about: `${plural(sum(shown, "versions"), "data version")} on ${plural(shown.length, "day")}. Data lists the newest.`,
    draw: (theme) => ({
      data: [{ type: "bar", name: "data versions", x: shown.map(({ day }) => day), y: shown.map((one) => one.versions), marker: { color: theme.own }, hovertemplate: "%{x}: %{y}<extra></extra>" }],
      layout: { xaxis: { ...DATES, range: scope.span() }, yaxis: { title: "data versions", rangemode: "tozero", fixedrange: true } },
    }),
    heads: ["day", "data versions"], rows: () => shown.map((one) => [one.day, one.versions]),
  });
}
