// A day chooser under a chart: a native slider, so that a keyboard, a finger and a screen reader can use it.

import { el, plural } from "./dom.js";

export const SPANS = [[30, "30 days"], [90, "90 days"], [365, "1 year"], [4000, "all"]];

/** Buttons that say how many days are shown. */
export function spans(label, chosen, choose) {
  return el("div", { class: "spans", role: "group", "aria-label": label }, SPANS.map(([days, text]) => {
    const button = el("button", { type: "button", "aria-pressed": String(days === chosen) }, text);
    button.addEventListener("click", () => choose(days));
    return button;
  }));
}

/**
 * A slider over ``count`` steps and the line that tells of the step it is at.
 *
 * ``tell(step)`` gives ``{text, more}``: words for the slider, and nodes for the line; ``at`` is called on each move.
 */
export function scrubber(label, count, tell, at) {
  const input = el("input", { type: "range", min: 0, max: count - 1, step: 1, "aria-label": label });
  const line = el("div", { class: "day-summary" });
  const move = (step) => {
    const bounded = Math.min(Math.max(step, 0), count - 1);
    input.value = bounded;
    const { text, more } = tell(bounded);
    input.setAttribute("aria-valuetext", text);
    line.replaceChildren(...[more].flat(Infinity).filter(Boolean));
    at(bounded);
  };
  input.addEventListener("input", () => move(Number(input.value)));
  return { node: el("div", { class: "scrubber" }, input, line), input, move, step: () => Number(input.value) };
}

/** Redraw on the first layout, on each change of width, and with the theme; stops when the node has gone. */
export function keepDrawn(node, draw) {
  let width = 0;
  const watcher = new ResizeObserver(() => {
    if (!node.isConnected) return stop();
    if (node.clientWidth && node.clientWidth !== width) draw((width = node.clientWidth));
  });
  const repaint = () => (node.isConnected ? draw(width) : stop());
  const stop = () => {
    watcher.disconnect();
    document.removeEventListener("theme", repaint);
  };
  watcher.observe(node);
  document.addEventListener("theme", repaint);
}

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const summary = (first, last, count) => `${first} to ${last} (${plural(count, "day")})`;
