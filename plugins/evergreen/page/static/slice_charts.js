// Slices as small multiples: of each part of the data what was predicted and what came, over the trailing window.

import { asText, chart } from "./charts.js";
import { el, plural } from "./dom.js";
import { DATES, nothing } from "./performance.js";

const MOST = 24, HEIGHT = 120, GAP = 46;
const WHAT = { gap: "predicted minus observed", means: "predicted and observed" };

export function sliceCharts({ slices: facts }, scope) {
  const { chosen } = scope, steps = scope.steps(facts.days);
  if (!facts.slices.length) return el("p", { class: "hint" }, facts.reason ?? "No slice was measured yet.");
  if (!steps.length) return nothing("slice");
  const what = el("select", { "aria-label": "What is drawn of each slice" }, Object.entries(WHAT).map(([value, name]) => el("option", { value, selected: value === chosen.what }, name)));
  const order = el("select", { "aria-label": "Order of the slices" }, ["largest first", "furthest off first"].map((name) => el("option", { selected: name === chosen.order }, name)));
  const search = el("input", { type: "search", placeholder: "Search slices", "aria-label": "Search slices", value: chosen.search ?? "" }), place = el("div");
  const draw = () => {
    Object.assign(chosen, { what: what.value, order: order.value, search: search.value });
    const wanted = search.value.trim().toLowerCase(), fitting = facts.slices.filter(({ slice }) => slice.toLowerCase().includes(wanted));
    const sorted = order.value === "largest first" ? fitting : fitting.toSorted((one, other) => off(other, steps) - off(one, steps)), shown = sorted.slice(0, MOST);
    place.replaceChildren(...(shown.length ? [multiples(facts, shown, steps, what.value, scope)] : [el("p", { class: "hint" }, "No slice is left: search for less.")]),
      ...(sorted.length > shown.length ? [el("p", { class: "quiet" }, `${plural(sorted.length - shown.length, "more slice")}: search to see them.`)] : []));
  };
  for (const [input, event] of [[what, "change"], [order, "change"], [search, "input"]]) input.addEventListener(event, draw);
  draw();
  return [el("div", { class: "filters" }, search, what, order), place];
}

/** How far a slice is off on its newest day, in units of its interval's half width; without an interval it comes last. */
function off({ gap, low, high }, steps) {
  const newest = steps.findLast((at) => low[at] !== null);
  return newest === undefined || high[newest] === low[newest] ? -1 : Math.abs(gap[newest]) / ((high[newest] - low[newest]) / 2);
}

function multiples(facts, shown, steps, what, scope) {
  const days = steps.map((at) => facts.days[at]);
  return chart({
    title: `Slices: ${WHAT[what]}`, zoomed: scope.zoomed, height: 180,
    about: `Means over the ${facts.window_days} days up to each labelled day${what === "gap" ? ", with an interval of 95 %: where it leaves 0, the model is wrong about this part" : ""}. A loss of a slice mostly says how hard the slice is, so none is drawn.`,
    draw: (theme, width) => grid(theme, width, shown, steps, days, what),
    heads: ["slice", "labelled day", "rows", "predicted", "observed", "predicted minus observed", "from", "to"],
    rows: () => shown.flatMap((one) => steps.filter((at) => one.rows[at] !== null).map((at) => [one.slice, facts.days[at], ...["rows", "predicted", "observed", "gap", "low", "high"].map((name) => one[name][at])])),
  });
}

function grid(theme, width, shown, steps, days, what) {
  const across = width < 480 ? 1 : width < 800 ? 2 : 4, down = Math.ceil(shown.length / across), height = 54 + HEIGHT * down + GAP * (down - 1);
  const data = [], layout = { annotations: [], shapes: [], showlegend: false, height, margin: { l: 48, r: 10, t: 24, b: 30 } };
  const inside = height - 54, share = HEIGHT / inside, stride = (inside - HEIGHT) / Math.max(down - 1, 1) / inside, gutter = across > 1 ? 0.03 : 0;
  const values = (of, name) => steps.map((at) => of[name][at]);
  const reach = shown.flatMap((one) => (what === "gap" ? ["low", "high", "gap"] : ["predicted", "observed"]).flatMap((name) => values(one, name))).filter((value) => value !== null);
  const [least, most] = reach.length ? [Math.min(...reach), Math.max(...reach)] : [0, 1], room = (most - least || 0.1) * 0.05;
  shown.forEach((one, place) => {
    const number = place ? place + 1 : "", x = `x${number}`, y = `y${number}`, column = place % across, row = Math.floor(place / across);
    const left = column / across + (column ? gutter / 2 : 0), right = (column + 1) / across - (column < across - 1 ? gutter / 2 : 0), top = 1 - row * stride;
    const line = (name, values_, style) => data.push({ type: "scatter", mode: "lines", name, x: days, y: values_, xaxis: x, yaxis: y, ...style });
    if (what === "gap") {
      line("lower end", values(one, "low"), { line: { width: 0 }, hoverinfo: "skip" });
      line("interval", values(one, "high"), { line: { width: 0 }, fill: "tonexty", fillcolor: theme.band, hoverinfo: "skip" });
      line(asText(one.slice), values(one, "gap"), { line: { color: theme.own, width: 2 }, hovertemplate: "%{x}: %{y:.3f}<extra></extra>" });
    } else {
      line("observed", values(one, "observed"), { line: { color: theme.other, width: 1.5, dash: "dash" }, hovertemplate: "observed %{y:.3f} up to %{x}<extra></extra>" });
      line("predicted", values(one, "predicted"), { line: { color: theme.own, width: 2 }, hovertemplate: "predicted %{y:.3f} up to %{x}<extra></extra>" });
    }
    layout[`xaxis${number}`] = { type: "date", tickformat: "%-d %b", nticks: 3, domain: [left, right], anchor: y, automargin: false, range: [days[0], days.at(-1)] };
    layout[`yaxis${number}`] = { domain: [Math.max(0, top - share), top], anchor: x, automargin: false, fixedrange: true, range: [least - room, most + room], nticks: 4, showticklabels: column === 0 };
    layout.annotations.push({ x: left, y: top, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12, color: theme.ink }, text: asText(one.slice.length > 34 ? `${one.slice.slice(0, 33)}…` : one.slice) });
  });
  return { data, layout };
}
