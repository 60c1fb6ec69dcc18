// What a decision threshold costs: a slider, the confusion that it gives, and the cost of each threshold.

import { chart } from "./charts.js";
import { el, number, table } from "./dom.js";

const COUNTS = ["true_positives", "false_positives", "false_negatives", "true_negatives"];

/** Give the cost of all decisions at each threshold, for what a missed event and a false alarm cost. */
const costs = (decisions, missed, alarm) => decisions.false_negatives.map((count, at) => count * missed + decisions.false_positives[at] * alarm);

export function thresholdChart({ threshold: declared }, { thresholds, models }, names) {
  const shown = ["challenger", "champion"].filter((name) => models[name]);
  const nearest = thresholds.reduce((best, value, at) => (Math.abs(value - (declared ?? 0.5)) < Math.abs(thresholds[best] - (declared ?? 0.5)) ? at : best), 0);
  const field = (value) => el("input", { type: "number", min: 0, step: "any", value, class: "cost" });
  const missed = field(1), alarm = field(1), slider = el("input", { type: "range", min: 0, max: thresholds.length - 1, step: 1, value: nearest, "aria-label": "Decision threshold" });
  const words = el("div", { class: "confusion" });
  const price = () => [missed, alarm].map((input) => Math.max(0, Number(input.value) || 0));
  const at = () => Number(slider.value);
  const cost = (model) => costs(models[model].decisions, ...price());
  const cheapest = (model) => cost(model).reduce((best, value, step, all) => (value < all[best] ? step : best), 0);
  const tell = () => {
    const of = (model, what) => models[model].decisions[what][at()];
    const share = (part, whole) => (whole ? number(part / whole) : "none");
    slider.setAttribute("aria-valuetext", `threshold ${number(thresholds[at()], 4)}`);
    words.replaceChildren(
      el("p", null, el("strong", null, `Threshold ${number(thresholds[at()], 4)}`), declared !== null && declared !== undefined && ` (decided at ${number(declared, 4)} in service)`),
      table("What is decided at this threshold", ["model", "found", "false alarms", "missed", "rightly left", "precision", "recall", "cost", "cheapest at"], shown.map((model) => [
        names[model], ...COUNTS.map((what) => number(of(model, what))),
        share(of(model, "true_positives"), of(model, "true_positives") + of(model, "false_positives")), share(of(model, "true_positives"), of(model, "true_positives") + of(model, "false_negatives")),
        number(cost(model)[at()]), number(thresholds[cheapest(model)], 4)]), { class: "small wide" }));
  };
  const extra = el("div", { class: "threshold" },
    el("p", { class: "filters" }, el("label", null, "A missed event costs ", missed), el("label", null, "a false alarm costs ", alarm)), slider, words);
  const node = chart({
    title: "Confusion and cost against the threshold", extra,
    about: "A row is decided as the event where its score is at least the threshold. The cost is that of missed events and false alarms together, in the unit of your two figures.",
    draw: (theme) => {
      const all = shown.map(cost), top = Math.max(...all.flat(), 1);
      return {
        data: [
          ...shown.map((model, which) => ({ type: "scatter", mode: "lines", name: `cost, ${names[model]}`, x: thresholds, y: all[which], line: { color: model === "champion" ? theme.other : theme.own, width: 2, dash: model === "champion" ? "dash" : "solid" } })),
          { type: "scatter", mode: "lines", name: "threshold", x: [thresholds[at()], thresholds[at()]], y: [0, top], line: { color: theme.ink, width: 1, dash: "dot" }, hoverinfo: "skip" },
        ],
        layout: { xaxis: { title: "threshold", range: [0, 1] }, yaxis: { title: "cost", rangemode: "tozero" } },
      };
    },
    heads: ["threshold", ...shown.flatMap((model) => [...COUNTS.map((what) => `${what.replaceAll("_", " ")}, ${names[model]}`), `cost, ${names[model]}`])],
    rows: () => { const all = shown.map(cost); return thresholds.map((value, step) => [value, ...shown.flatMap((model, which) => [...COUNTS.map((what) => models[model].decisions[what][step]), all[which][step]])]); },
  });
  for (const input of [slider, missed, alarm]) input.addEventListener("input", () => (tell(), node.redraw()));
  tell();
  return node;
}
