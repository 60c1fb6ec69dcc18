// How a version and the champion of then did on the holdout on which it was judged.

import { inModel } from "./address.js";
import { asText, chart, choices, faint } from "./charts.js";
import { ask, el, intervalName, number, plural } from "./dom.js";
import { thresholdChart } from "./threshold_chart.js";

const STANDS_FOR = {
  twin: "The champion is compared as the version that was judged in its place, which had not seen these days.",
  recipe: "The champion is compared as its recipe, fitted again up to the holdout, since it had seen these days itself.",
};

/** Put the charts of a version into a place once they have come; ``first`` names the one that is shown to begin with. */
export function versionCharts(version, first) {
  const place = el("div", { class: "charts", "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading…"));
  ask(inModel(`versions/${encodeURIComponent(version)}/charts`)).then(
    (facts) => place.replaceChildren(...[drawn(facts, first)].flat(Infinity).filter(Boolean)),
    (problem) => place.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message)),
  ).finally(() => place.removeAttribute("aria-busy"));
  return place;
}

function drawn(facts, first) {
  const { charts, importance, message } = facts, options = [];
  const names = { challenger: `version ${facts.judged_version ?? facts.version}`, champion: facts.champion ? `champion then, version ${facts.champion}` : "champion then", base_rate: "base rate" };
  if (charts) {
    if (charts.paired) options.push(["Gain by day", () => gainByDay(charts, names)]);
    options.push(["Loss by day", () => lossByDay(charts, names)]);
    if (charts.sides.length) {
      options.push(["Calibration", () => ofClass(charts, (side) => calibration(charts, side, names))]);
      if (charts.sides.some(({ models }) => models.challenger.roc)) {
        options.push(["ROC", () => ofClass(charts, (side) => roc(side, names))], ["Precision and recall", () => ofClass(charts, (side) => precisionRecall(side, names))]);
      }
      options.push(["Threshold", () => ofClass(charts, (side) => thresholdChart(charts, side, names))]);
    }
    if (charts.residuals?.challenger) options.push(["Residuals", () => residuals(charts, names)]);
    if (charts.slices?.length) options.push(["Slices", () => slices(charts)]);
    if (charts.differences) options.push(["Differences", () => differences(charts, names)]);
  }
  if (importance?.challenger?.features?.length) options.push(["Importance", () => importanceChart(importance, names)]);
  if (charts?.dependence?.length) options.push(["Dependence", () => charts.dependence.map((one, place) => dependenceChart(charts, one, place, names, facts.champion !== null))]);
  const about = charts && [`Measured on the holdout: ${plural(charts.rows, "row")} of ${plural(charts.days, "day")}.`, STANDS_FOR[charts.compared],
    facts.judged_version && facts.judged_version !== facts.version && `Version ${facts.version} is version ${facts.judged_version} fitted again on the whole window.`].filter(Boolean).join(" ");
  const at = Math.max(0, options.findIndex(([name]) => name === first));
  return [message && el("p", { class: "hint" }, message), about && el("p", { class: "quiet" }, about),
    options.length > 0 && choices("Charts of this version", options, at)];
}

/** Of several classes, let the reader choose which one is drawn against the rest. */
function ofClass({ sides }, build) {
  if (sides.length === 1) return build(sides[0]);
  const place = el("div"), choice = el("select", { "aria-label": "Class" }, sides.map(({ name }, at) => el("option", { value: at }, name)));
  const show = () => place.replaceChildren(...[build(sides[Number(choice.value)])].flat().filter(Boolean));
  choice.addEventListener("change", show);
  show();
  return [el("p", null, "One class against the rest: ", choice), place];
}

const hue = (theme, model) => ({ challenger: theme.own, champion: theme.other, base_rate: theme.base })[model];
const shape = (model) => ({ challenger: "circle", champion: "diamond", base_rate: "square" })[model];
const present = (models) => ["challenger", "champion"].filter((name) => models[name]);
const line = (theme, model, names, more) => ({ type: "scatter", mode: "lines", name: names[model], line: { color: hue(theme, model), width: 2, dash: model === "champion" ? "dash" : "solid" }, ...more });
const diagonal = (theme, x, y) => ({ type: "scatter", mode: "lines", x, y, line: { color: theme.quiet, width: 1, dash: "dot" }, hoverinfo: "skip", showlegend: false });
const spread = (values, ends) => ({ type: "data", symmetric: false, array: values.map((value, at) => (ends.high[at] ?? value) - value), arrayminus: values.map((value, at) => value - (ends.low[at] ?? value)), width: 3 });

/** What the gate wanted; of a refresh that its past decides on no setting says it, but what would have tipped the decision. */
function wantedBy({ setting, gain: least }, gain) {
  if (setting !== "tips_at") return `The gate wanted ${setting === "min_gain" ? `a gain of at least ${number(least, 4)}` : `no loss of more than ${number(-least, 4)}`} (${setting}).`;
  return `With what refreshes gained before, ${number(least, 4)} or ${gain < least ? "better on these days would have promoted it" : "worse on these days would have held it"} (the margin).`;
}

function gainByDay({ by_day: days, paired, loss_label: label, confidence }, names) {
  const { gain, low, high, margin } = paired, level = intervalName(confidence);
  const shown = days.day.map((day, at) => ({ day, gain: days.difference[at], rows: days.rows[at] })).filter((one) => one.gain !== null);
  const wanted = margin && ` ${wantedBy(margin, gain)}`;
  return chart({
    title: "Gain by day, paired on the same rows",
    about: `${label} of the ${names.champion} minus that of ${names.challenger}; above 0 the newer one is better. Mean ${number(gain, 4)}, ${level} ${number(low, 4)} to ${number(high, 4)}.${wanted ?? ""}`,
    draw: (theme) => {
      const first = shown[0]?.day, last = shown.at(-1)?.day;
      const level_ = (value, name, style) => ({ type: "scatter", mode: "lines", x: [first, last], y: [value, value], name, line: style });
      return {
        data: [
          { type: "bar", x: shown.map((one) => one.day), y: shown.map((one) => one.gain), name: "one day", customdata: shown.map((one) => one.rows),
            marker: { color: shown.map((one) => faint(one.gain < 0 ? theme.other : theme.own, "99")) }, hovertemplate: "%{x}: %{y:.4f} on %{customdata:,} rows<extra></extra>" },
          { type: "scatter", mode: "lines", x: [first, last, last, first, first], y: [low, low, high, high, low], fill: "toself", fillcolor: theme.band, line: { width: 0 }, name: level, hoverinfo: "skip" },
          level_(gain, "mean gain", { color: theme.own, width: 2 }),
          margin && level_(margin.gain, "margin", { color: theme.bad, width: 1.5, dash: "dash" }),
        ].filter(Boolean),
        layout: { xaxis: { type: "date", tickformat: "%-d %b\n%Y" }, yaxis: { title: `gain (${label})` } },
      };
    },
    heads: ["day", "gain", "rows"], rows: () => [...shown.map((one) => [one.day, one.gain, one.rows]), ["all days", gain, paired.rows], [`low end of the ${level}`, low, ""], [`high end of the ${level}`, high, ""],
      ...(margin ? [[margin.setting === "tips_at" ? "margin" : `margin (${margin.setting})`, margin.gain, ""]] : [])],
  });
}

function lossByDay({ by_day: days, loss_label: label }, names) {
  const models = ["challenger", "champion", "base_rate"].filter((name) => days.loss[name]);
  return chart({
    title: "Loss by day", about: `Mean ${label} of each day of the holdout. Days that are hard for every model are hard for the base rate too.`,
    draw: (theme) => ({
      data: models.map((model) => line(theme, model, names, { x: days.day, y: days.loss[model], mode: "lines+markers", marker: { symbol: shape(model), size: 5 },
        ...(model === "base_rate" && { line: { color: theme.base, width: 1.5, dash: "dot" } }) })),
      layout: { xaxis: { type: "date", tickformat: "%-d %b\n%Y" }, yaxis: { title: label }, hovermode: "x unified" },
    }),
    heads: ["day", ...models.map((model) => names[model]), "rows"], rows: () => days.day.map((day, at) => [day, ...models.map((model) => days.loss[model][at]), days.rows[at]]),
  });
}

function calibration({ confidence }, { models }, names) {
  const shown = present(models), scores = models.challenger.scores, middle = scores.edges.slice(1).map((edge, at) => (edge + scores.edges[at]) / 2);
  return chart({
    title: "Calibration", height: 420,
    about: `Ten equally filled bins of the prediction: the mean prediction and how often it came true, with the ${intervalName(confidence)} (whole days resampled). Below: how many rows ${names.challenger} scored so.`,
    draw: (theme) => ({
      data: [
        diagonal(theme, [0, 1], [0, 1]),
        ...shown.map((model) => {
          const { predicted, observed, ...ends } = models[model].calibration;
          return line(theme, model, names, { x: predicted, y: observed, mode: "lines+markers", marker: { symbol: shape(model), size: 7 }, error_y: { ...spread(observed, ends), color: faint(hue(theme, model), "99") } });
        }),
        { type: "bar", x: middle, y: scores.negative, name: "rows without the event", marker: { color: faint(theme.quiet, "77") }, yaxis: "y2" },
        { type: "bar", x: middle, y: scores.positive, name: "rows with it", marker: { color: faint(theme.own, "99") }, yaxis: "y2" },
      ],
      layout: { barmode: "stack", yaxis: { title: "observed rate", domain: [0.32, 1] }, yaxis2: { title: "rows", domain: [0, 0.24] }, xaxis: { title: "predicted probability", anchor: "y2", rangemode: "tozero" } },
    }),
    heads: ["bin", ...shown.flatMap((model) => ["predicted", "observed", "low", "high", "rows"].map((what) => `${what}, ${names[model]}`))],
    rows: () => Array.from({ length: Math.max(...shown.map((model) => models[model].calibration.predicted.length)) }, (_, at) => [
      at + 1, ...shown.flatMap((model) => ["predicted", "observed", "low", "high", "rows"].map((what) => models[model].calibration[what][at] ?? ""))]),
  });
}

function curve(title, about, { models }, names, of, x, y, area, layout, chance) {
  const shown = present(models).filter((model) => models[model][of]);
  const called = Object.fromEntries(shown.map((model) => [model, `${names[model]} (${number(models[model][of][area])})`]));
  return chart({
    title, about, height: 400,
    draw: (theme) => ({
      data: [chance(theme), ...shown.map((model) => line(theme, model, called, { x: models[model][of][x], y: models[model][of][y] }))],
      layout,
    }),
    heads: ["model", x.replaceAll("_", " "), y.replaceAll("_", " ")],
    rows: () => shown.flatMap((model) => models[model][of][x].map((value, at) => [called[model], value, models[model][of][y][at]])),
  });
}

const roc = (side, names) => curve("ROC", "How many of the events are found at each rate of false alarms; the dotted line is chance. In brackets: the area under the curve.", side, names,
  "roc", "false_positive_rate", "true_positive_rate", "area", { xaxis: { title: "false positive rate", range: [0, 1] }, yaxis: { title: "true positive rate", range: [0, 1.02] } },
  (theme) => diagonal(theme, [0, 1], [0, 1]));

function precisionRecall(side, names) {
  const total = side.models.challenger.scores, rows = [...total.positive, ...total.negative].reduce((sum, count) => sum + count, 0), rate = side.positives / rows;
  return curve("Precision and recall", `How many of those that are named are events, at each share of events found; the dotted line is the base rate, ${number(rate)}. In brackets: the average precision.`, side, names,
    "precision_recall", "recall", "precision", "average_precision", { xaxis: { title: "recall", range: [0, 1] }, yaxis: { title: "precision", range: [0, 1.02] } },
    (theme) => diagonal(theme, [0, 1], [rate, rate]));
}

function residuals({ residuals: known }, names) {
  const shown = present(known), own = known.challenger, middle = (edges) => edges.slice(1).map((edge, at) => (edge + edges[at]) / 2);
  return [chart({
    title: "Residuals by size of the prediction",
    about: "Outcome minus prediction: the median and the middle 80 % of rows, in equally filled groups of the prediction. The dots are a sample of rows.",
    draw: (theme) => ({
      data: [
        { type: "scatter", mode: "markers", name: "sampled rows", x: own.rows.predicted, y: own.rows.outcome.map((value, at) => value - own.rows.predicted[at]), marker: { color: faint(theme.own, "55"), size: 4 }, hovertemplate: "predicted %{x:.4g}, residual %{y:.4g}<extra></extra>" },
        ...shown.map((model) => {
          const { predicted, median, ...ends } = known[model].by_prediction;
          return line(theme, model, names, { x: predicted, y: median, mode: "lines+markers", marker: { symbol: shape(model), size: 6 }, error_y: { ...spread(median, ends), color: faint(hue(theme, model), "99") } });
        }),
      ],
      layout: { xaxis: { title: "prediction" }, yaxis: { title: "outcome − prediction" } },
    }),
    heads: ["model", "mean prediction", "median residual", "10 %", "90 %", "rows"],
    rows: () => shown.flatMap((model) => known[model].by_prediction.predicted.map((value, at) => [names[model], value, ...["median", "low", "high", "rows"].map((what) => known[model].by_prediction[what][at])])),
  }), chart({
    title: "Residuals", about: "How many rows were off by how much.", height: 260,
    draw: (theme) => ({
      data: shown.map((model) => line(theme, model, names, { x: middle(known[model].histogram.edges), y: known[model].histogram.rows, line: { color: hue(theme, model), shape: "hvh" } })),
      layout: { xaxis: { title: "outcome − prediction" }, yaxis: { title: "rows" } },
    }),
    heads: ["model", "from", "to", "rows"],
    rows: () => shown.flatMap((model) => known[model].histogram.rows.map((count, at) => [names[model], known[model].histogram.edges[at], known[model].histogram.edges[at + 1], count])),
  })];
}

function slices({ slices: all, loss_label: label, metric_label: metric, confidence }) {
  const gains = all.some(({ gain }) => gain !== null);
  const shown = all.filter((one) => (gains ? one.gain : one.value) !== null).sort((one, other) => (gains ? one.gain - other.gain : other.value - one.value));
  const values = shown.map((one) => (gains ? one.gain : one.value));
  return chart({
    title: gains ? "Gain by slice" : "Metric by slice", height: Math.max(220, 70 + 22 * shown.length),
    about: gains ? `By how much the ${label} is lower than the champion's in each slice, worst first, with the ${intervalName(confidence)} (days are the unit). Above 0 is better.` : `The ${metric} of each slice, worst first; no champion was compared.`,
    draw: (theme, width) => ({
      data: [{ type: "scatter", mode: "markers", x: values, y: shown.map((_, at) => at), marker: { color: theme.own, size: 8 }, showlegend: false,
        text: shown.map(({ name, rows }) => `${asText(name)}, ${number(rows)} rows`), hovertemplate: "%{text}: %{x:.4f}<extra></extra>",
        ...(gains && { error_x: { ...spread(values, { low: shown.map(({ low }) => low), high: shown.map(({ high }) => high) }), color: faint(theme.own, "99") } }) }],
      layout: { xaxis: { title: gains ? `gain (${label})` : metric, zeroline: gains }, yaxis: { tickvals: shown.map((_, at) => at), ticktext: shown.map(({ name }) => asText(name.length > width / 22 ? `${name.slice(0, width / 22)}…` : name)), autorange: "reversed", zeroline: false } },
    }),
    heads: ["slice", "rows", metric, "gain", "low", "high"], rows: () => shown.map((one) => [one.name, one.rows, one.value, one.gain ?? "", one.low ?? "", one.high ?? ""]),
  });
}

function differences({ differences: { edges, rows } }, names) {
  return chart({
    title: "Differences of the predictions", about: `By how much ${names.challenger} predicts more than the ${names.champion}, row by row.`,
    draw: (theme) => ({
      data: [{ type: "bar", x: edges.slice(1).map((edge, at) => (edge + edges[at]) / 2), y: rows, width: edges.slice(1).map((edge, at) => edge - edges[at]), marker: { color: faint(theme.own, "aa") }, showlegend: false, hovertemplate: "about %{x:.3g}: %{y:,} rows<extra></extra>" }],
      layout: { xaxis: { title: "difference of the prediction", zeroline: true }, yaxis: { title: "rows" } },
    }),
    heads: ["from", "to", "rows"], rows: () => rows.map((count, at) => [edges[at], edges[at + 1], count]),
  });
}

const DASHES = { challenger: ["solid", "dot"], champion: ["dash", "dashdot"] };

/** The mean prediction if all rows had one value of a feature: a line over numbers, points over categories. */
function dependenceChart({ kind }, { feature, numeric, values, lines, champion_lines: champions = [], rows }, place, names, compared) {
  const what = { classification: "mean predicted probability", multiclass: "mean predicted probability of each class" }[kind] ?? "mean prediction";
  const several = lines.length > 1, places = numeric ? values : values.map((_value, step) => step), labels = values.map((value) => asText(String(value)));
  const shown = [...lines.map((one, at) => ({ ...one, at, model: "challenger" })), ...champions.map((one, at) => ({ ...one, at, model: "champion" }))];
  const called = ({ name, model }) => (champions.length ? [name, names[model]].filter(Boolean).join(", ") : name);
  const without = compared && !champions.length ? " Of the champion then no curve was kept, or it does not know this feature." : "";
  return chart({
    title: `Dependence on ${feature}`, height: several && champions.length ? 360 : 300,
    about: `The ${what} if all of ${plural(rows, "row")} of the holdout had this value, and kept their others.${place ? "" : " Of features that move together it shows values that do not occur together."}${without}`,
    draw: (theme) => {
      const hues = [theme.own, theme.other, theme.good, theme.warn, theme.bad, theme.quiet];
      return {
        data: shown.map((one) => {
          const { at, mean, model } = one, color = several ? hues[at % hues.length] : hue(theme, model);
          return { type: "scatter", mode: numeric ? "lines+markers" : "markers", name: asText(called(one) || "all rows"), x: places, y: mean,
            line: { color, width: 2, dash: DASHES[model][at >= hues.length ? 1 : 0] }, marker: { color, symbol: shape(model), size: numeric ? 6 : 9 },
            text: labels, hovertemplate: "%{text}: %{y:.4f}<extra></extra>" };
        }),
        layout: { showlegend: shown.length > 1, yaxis: { title: several ? "probability" : what }, xaxis: numeric ? { title: asText(feature) } : { title: asText(feature), tickvals: places, ticktext: labels } },
      };
    },
    heads: [feature, ...shown.map((one) => called(one) || what)], rows: () => values.map((value, step) => [value, ...shown.map(({ mean }) => mean[step])]),
  });
}

function importanceChart({ challenger, champion }, names) {
  const shown = challenger.features.slice(0, 25), others = new Map((champion?.features ?? []).map((one) => [one.feature, one]));
  const bars = (theme, model, pick) => ({ type: "bar", orientation: "h", name: names[model], x: shown.map((one) => pick(one)?.increase ?? null), y: shown.map((_, at) => at),
    marker: { color: faint(hue(theme, model), "bb") }, error_x: { type: "data", array: shown.map((one) => pick(one)?.sd ?? 0), color: theme.ink, thickness: 1, width: 2 },
    text: shown.map(({ feature }) => asText(feature)), textposition: "none", hovertemplate: "%{text}: %{x:.4f}<extra></extra>" });
  return chart({
    title: "Importance of features", height: 90 + (others.size ? 34 : 22) * shown.length,
    about: `By how much the ${challenger.metric.replaceAll("_", " ")} gets worse when a feature's values are shuffled (mean and standard deviation of ${challenger.repeats} times).`,
    draw: (theme) => ({
      data: [bars(theme, "challenger", (one) => one), others.size && bars(theme, "champion", (one) => others.get(one.feature))].filter(Boolean),
      layout: { barmode: "group", bargap: 0.25, xaxis: { title: "worse by" }, yaxis: { tickvals: shown.map((_, at) => at), ticktext: shown.map(({ feature }) => asText(feature)), autorange: "reversed", zeroline: false } },
    }),
    heads: ["feature", ...(others.size ? ["challenger", "champion"] : ["challenger"]).flatMap((model) => [names[model], "±"])],
    rows: () => challenger.features.map((one) => [one.feature, one.increase, one.sd, ...(others.size ? [others.get(one.feature)?.increase ?? "", others.get(one.feature)?.sd ?? ""] : [])]),
  });
}
