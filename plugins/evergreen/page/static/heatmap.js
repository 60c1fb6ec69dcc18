// A heat map of rows by days on a canvas, with a slider that reads each cell and a key that opens it.

import { el } from "./dom.js";
import { color, keepDrawn, scrubber } from "./scrubber.js";

const ROW = 20, LEAST = 3, GAP = 6, AXIS = 18;

/**
 * Build a heat map.
 *
 * ``rows`` are ``{name, title, parted}``; ``level(row, step)`` gives a shade from 0 to 4; ``tell(row, step)`` gives
 * ``{text, more}`` for a cell; ``open(row, step)`` is what a click or Enter does; ``at`` is the cell that is read first,
 * and follows the reader.
 */
export function heatMap({ label, reads, rows, days, level, tell, open, at }) {
  const canvas = el("canvas", { role: "img", "aria-label": `${label}; the slider below reads each cell` });
  const window_ = el("div", { class: "heat-window", role: "region", "aria-label": `${label}, by day` }, canvas);
  const place = el("div", { class: "heat" }, names(rows), window_);
  let cells = null;
  const slider = scrubber(reads, days.length, (step) => tell(at.row, step), (step) => { at.step = step; cells?.point(at); });
  slider.input.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by) {
      event.preventDefault();
      at.row = Math.min(Math.max(at.row + by, 0), rows.length - 1);
      slider.move(at.step);
    } else if (event.key === "Enter") open(at.row, at.step);
  });
  const aim = (event) => {
    const cell = cells?.cellAt(event);
    if (cell) (at.row = cell.row), slider.move(cell.step);
    return cell;
  };
  canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && aim(event));
  canvas.addEventListener("click", (event) => aim(event) && open(at.row, at.step));
  keepDrawn(window_, (width) => {
    cells = paint({ rows, days, level }, canvas, width);
    window_.scrollLeft = canvas.clientWidth;
    // What can be scrolled has to be reached by the keyboard; elsewhere one more stop would be in the way.
    if (window_.scrollWidth > window_.clientWidth) window_.tabIndex = 0;
    else window_.removeAttribute("tabindex");
    cells.point(at);
  });
  at.row = Math.min(at.row, rows.length - 1);
  slider.move(at.step);
  return { nodes: [place, slider.node], focus: () => slider.input.focus() };
}

function names(rows) {
  return el("ol", { class: "heat-names", "aria-hidden": "true" },
    rows.map(({ name, title, parted }) => el("li", { class: parted ? "parted" : null, title }, name)));
}

/** Say in words and colours what the shades mean. */
export const heatLegend = (words) => el("p", { class: "legend" }, words.map((word, at) => [el("span", { class: `key heat-${at}` }), `${word} `]));

function paint({ rows, days, level }, canvas, width) {
  const count = days.length, wide = Math.max(count * LEAST, width), cell = Math.min(wide / count, 40), used = cell * count;
  const offsets = [];
  rows.reduce((top, { parted }) => {
    const next = parted ? top + GAP : top;
    offsets.push(next);
    return next + ROW;
  }, 0);
  const height = offsets.at(-1) + ROW + AXIS, scale = Math.min(devicePixelRatio || 1, 2);
  canvas.width = Math.round(used * scale);
  canvas.height = height * scale;
  canvas.style.width = `${used}px`;
  canvas.style.height = `${height}px`;
  const shades = [0, 1, 2, 3, 4].map((at) => color(`--heat-${at}`)), pen = canvas.getContext("2d");
  const base = document.createElement("canvas");
  const plain = () => {
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);  // the gaps between the cells are transparent: frames would stay in them
    pen.drawImage(base, 0, 0);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
  };
  Object.assign(base, { width: canvas.width, height: canvas.height });
  const first = base.getContext("2d");
  first.setTransform(scale, 0, 0, scale, 0, 0);
  const gap = cell > 6 ? 1 : 0;
  rows.forEach((_, row) => days.forEach((_, step) => {
    first.fillStyle = shades[level(row, step)];
    first.fillRect(step * cell, offsets[row], cell - gap + (gap ? 0 : 0.3), ROW - 1);
  }));
  first.fillStyle = color("--quiet");
  first.font = "11px system-ui, sans-serif";
  const every = Math.max(1, Math.ceil(110 / cell));
  for (let step = count - 1; step >= 0; step -= every) {
    const text = days[step], half = first.measureText(text).width / 2;
    first.fillText(text, Math.min(Math.max(step * cell + cell / 2 - half, 0), used - 2 * half), height - 4);
  }
  plain();
  return {
    point: ({ row, step }) => {
      plain();
      pen.strokeStyle = color("--ink");
      pen.lineWidth = 2;
      pen.strokeRect(Math.max(step * cell, 1), Math.max(offsets[row], 1), Math.max(cell - gap, 3) - (step ? 0 : 1), ROW - 1 - (row ? 0 : 1));
    },
    cellAt: (event) => {
      const box = canvas.getBoundingClientRect(), step = Math.floor((event.clientX - box.left) / cell), top = event.clientY - box.top;
      const row = offsets.findIndex((offset) => top >= offset && top < offset + ROW);
      return row >= 0 && step >= 0 && step < count ? { row, step } : null;
    },
  };
}
