// A chart with its table and its numbers as CSV. The library that draws is loaded by the first chart that is looked at.

import { el, fold, number, table } from "./dom.js";
import { color, keepDrawn } from "./scrubber.js";

const beside = (name) => new URL(name, import.meta.url).href;
const CONFIG = { displayModeBar: false, responsive: false, showTips: false };
let library = null;

function loaded(node) {
  return new Promise((resolve, reject) => {
    node.addEventListener("load", resolve);
    node.addEventListener("error", () => reject(new Error("The charting library could not be loaded: the tables below have the numbers.")));
    document.head.append(node);
  });
}

/** Load the library, once. Its rules go into our own style sheet, under the name by which it looks for one. */
function plotly() {
  library ??= (async () => {
    await loaded(el("link", { id: "plotly.js-style-global", rel: "stylesheet", href: beside("plotly.css") }));
    await loaded(el("script", { src: beside("plotly.min.js") }));
    return window.Plotly;
  })();
  library.catch(() => (library = null));
  return library;
}

/** Write a text from data so that the library, which reads a little HTML, shows it as it is. */
export const asText = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Colours of the theme that is shown now. */
const colors = () => Object.fromEntries(
  Object.entries({ ink: "--ink", quiet: "--quiet", line: "--line", ground: "--ground", panel: "--panel", own: "--live", band: "--band", other: "--other",
    base: "--promised", good: "--calm", bad: "--alarm", warn: "--watching" }).map(([name, value]) => [name, color(value)]));

/** A colour, so transparent that what is behind it can be seen. */
export const faint = (hex, alpha = "55") => (hex.length === 4 ? `#${[...hex.slice(1)].map((digit) => digit + digit).join("")}${alpha}` : `${hex.slice(0, 7)}${alpha}`);

function axis(theme, about) {
  const { title, ...others } = about ?? {};
  return { gridcolor: theme.line, linecolor: theme.line, zerolinecolor: theme.quiet, tickcolor: theme.line, automargin: true, fixedrange: false,
    title: title ? { text: asText(title), standoff: 10 } : undefined, ...others };
}

function layoutOf(theme, own, width, height) {
  const axes = Object.fromEntries(Object.entries(own).filter(([name]) => /^[xy]axis\d*$/.test(name)).map(([name, about]) => [name, axis(theme, about)]));
  const { legend, margin, ...others } = own;
  return {
    width, height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "system-ui, sans-serif", size: 12, color: theme.ink },
    margin: { l: 56, r: 14, t: 12, b: 44, ...margin }, dragmode: matchMedia("(hover: hover)").matches ? "zoom" : false, hovermode: "closest", bargap: 0.05,
    hoverlabel: { bgcolor: theme.panel, bordercolor: theme.line, font: { color: theme.ink } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", ...legend }, ...others, ...axes,
  };
}

const cell = (value) => (typeof value === "number" ? number(value, 4) : value ?? "unknown");
const quoted = (value) => (/[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));

/** Hand out a table as a file; a text that a spreadsheet would run as a formula is kept a text. */
export function csvButton(name, heads, rows) {
  const button = el("button", { type: "button" }, "CSV");
  const safe = (value) => (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : value);
  button.addEventListener("click", () => {
    const text = [heads, ...rows()].map((row) => row.map((value) => quoted(safe(value))).join(",")).join("\r\n");
    const href = URL.createObjectURL(new Blob([`${text}\r\n`], { type: "text/csv" }));
    el("a", { href, download: `${name.replaceAll(/[^\w.-]+/g, "-")}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  });
  return button;
}

/** A table that is filled when it is opened, in a fold. */
export function tableFold(line, caption, heads, rows) {
  const details = fold(line);
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length < 2) details.append(table(caption, heads, rows().map((row) => row.map(cell)), { class: "small" }));
  });
  return details;
}

/**
 * Build a chart: a figure with its heading, a sentence, the drawing, the table and the CSV.
 *
 * ``draw(theme)`` gives ``{data, layout}`` for the library; ``rows()`` gives what it draws as rows under ``heads``.
 * ``zoomed(range)`` is called with the part of the first axis that the reader has chosen by dragging, and with null for the whole again.
 * The node that is returned has ``redraw()``, for what the reader has changed.
 */
export function chart({ title, about, draw, heads, rows, height = 320, extra, zoomed }) {
  const area = el("div", { class: "plot-area", role: "img", "aria-label": `${title}. ${about ?? ""} The numbers are in the table below.` });
  const whole = el("button", { type: "button", hidden: !matchMedia("(hover: hover)").matches }, "Whole range");
  const node = el("figure", { class: "plot" }, el("figcaption", null, title), about && el("p", { class: "quiet" }, about), extra, area,
    el("div", { class: "plot-tools" }, whole, csvButton(title, heads, rows)), tableFold("As a table", `${title}, as a table`, heads, rows));
  area.style.minHeight = `${height}px`;
  let width = 0, heard = null;
  const paint = async () => {
    if (!width) return;
    area.setAttribute("aria-busy", "true");
    try {
      const library = await plotly(), theme = colors(), { data, layout } = draw(theme, width);
      if (!area.isConnected) return;
      await library.react(area, data, layoutOf(theme, layout, width, height), CONFIG);
      if (zoomed && !heard) heard = area.on("plotly_relayout", (change) => {
        const axis = Object.keys(change).find((name) => /^xaxis\d*\.range\[0\]$/.test(name))?.split(".")[0];
        if (axis) zoomed([change[`${axis}.range[0]`], change[`${axis}.range[1]`]]);
      });
    } catch (problem) {
      area.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message));
      console.error(problem);
    } finally {
      area.removeAttribute("aria-busy");
    }
  };
  whole.addEventListener("click", () => (zoomed ? zoomed(null) : paint()));
  keepDrawn(area, (wide) => (width = wide, paint()));
  return Object.assign(node, { redraw: paint });
}

/** Buttons of which one is pressed, and below them what it shows, built anew each time. */
export function choices(label, options, first = 0) {
  const place = el("div", { class: "chosen-chart" });
  const buttons = options.map(([name, build]) => {
    const button = el("button", { type: "button", "aria-pressed": "false" }, name);
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      place.replaceChildren(...[build()].flat(Infinity).filter(Boolean));
    });
    return button;
  });
  buttons[Math.min(first, buttons.length - 1)]?.click();
  return el("div", { class: "chart-choice" }, el("div", { class: "spans", role: "group", "aria-label": label }, buttons), place);
}
