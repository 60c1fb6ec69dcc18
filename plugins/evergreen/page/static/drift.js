// How far each column was on each day: a heat map in multiples of what is usual for the column.

import { badge, el, empty, file, fold, number, problems, sentences, table } from "./dom.js";
import { color, keepDrawn, scrubber, spans, summary } from "./scrubber.js";

const ROW = 20, LEAST = 3, GAP = 6, AXIS = 18;
const WORDS = ["not measured", "usual", "above its baseline range", "above its limit", "above twice its limit"];

export function drawDrift(facts, days, choose) {
  const buttons = spans("Days shown in the heat map", days, choose);
  const unreadable = problems((facts.unreadable ?? []).slice(0, 3));
  if (!facts.days.length || !facts.columns.length) return [buttons, unreadable, empty(facts.hint, "No drift was measured yet.")];
  const canvas = el("canvas", { role: "img", "aria-label": `Drift of ${facts.columns.length} columns, ${summary(facts.days[0], facts.days.at(-1), facts.days.length)}; the slider below reads each cell` });
  const window_ = el("div", { class: "heat-window" }, canvas);
  const place = el("div", { class: "heat" }, names(facts), window_);
  const at = { row: 0, step: facts.days.length - 1 };
  let cells = null;
  const slider = scrubber("Day of the heat map; up and down choose the column", facts.days.length,
    (step) => tell(facts, at.row, step), (step) => { at.step = step; cells?.point(at); });
  slider.input.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by) {
      event.preventDefault();
      at.row = Math.min(Math.max(at.row + by, 0), facts.columns.length - 1);
      slider.move(at.step);
    } else if (event.key === "Enter") window_.dispatchEvent(new Event("report"));
  });
  const open = () => slider.node.querySelector("a[target]")?.click();
  window_.addEventListener("report", open);
  const aim = (event) => {
    const found = cells.cellAt(event);
    if (found) (at.row = found.row), slider.move(found.step);
    return found;
  };
  canvas.addEventListener("pointermove", (event) => event.pointerType === "mouse" && aim(event));
  canvas.addEventListener("click", (event) => aim(event) && (event.detail === 0 || matchMedia("(hover: hover)").matches) && open());
  keepDrawn(window_, (width) => {
    cells = paint(facts, canvas, width);
    window_.scrollLeft = canvas.clientWidth;
    cells.point(at);
  });
  slider.move(at.step);
  return [buttons, legend(), unreadable, place, slider.node, empty(facts.hint), asTable(facts)];
}

/** Say how a cell is: 0 not measured, 1 usual, 2 above its baseline range, 3 above its limit, 4 above twice its limit. */
function level(facts, column, step) {
  const score = column.score[step], known = column.versions[String(facts.versions[step])];
  if (score === null || score === undefined) return 0;
  const ratio = column.ratio[step] ?? (known?.limit ? score / known.limit : null);
  if (ratio !== null && ratio > 2) return 4;
  if (ratio !== null && ratio > 1) return 3;
  if (known?.baseline_range !== null && known?.baseline_range !== undefined) return score > known.baseline_range ? 2 : 1;
  return ratio === null ? 0 : 1;
}

function names(facts) {
  const list = el("ol", { class: "heat-names", "aria-hidden": "true" });
  facts.columns.forEach(({ column, role }, row) => {
    const parted = row > 0 && role !== facts.columns[row - 1].role;
    list.append(el("li", { class: parted ? "parted" : null, title: `${column} (${role})` }, column));
  });
  return list;
}

function tell(facts, row, step) {
  const column = facts.columns[row], day = facts.days[step], known = column.versions[String(facts.versions[step])] ?? {};
  const score = column.score[step], ratio = column.ratio[step], how = WORDS[level(facts, column, step)];
  const measured = score === null || score === undefined ? how : `${number(score)}${typeof ratio === "number" ? `, ${number(ratio, 1)} times its limit` : ""}: ${how}`;
  const matters = { true: "matters to the model", false: "matters little to the model" }[String(known.matters)] ?? "";
  return {
    text: `${column.column}, ${day}: ${measured}`,
    more: [
      el("p", null, el("strong", null, `${column.column}, ${day}`), " ", facts.status[step] && badge(facts.status[step]), ` ${measured}`),
      el("p", { class: "quiet" }, [column.role, known.method, known.limit && `limit ${number(known.limit)}`,
        known.baseline_range !== null && known.baseline_range !== undefined && `baseline range up to ${number(known.baseline_range)}`, matters].filter(Boolean).join(" · ")),
      el("div", { class: "links" }, file(facts.reports[step], `Evidently report of ${day}`), el("div", null, sentences([facts.reasons[step] ?? ""], 2))),
    ],
  };
}

function legend() {
  return el("p", { class: "legend" }, WORDS.map((word, at) => [el("span", { class: `key heat-${at}` }), `${word} `]));
}

function paint(facts, canvas, width) {
  const count = facts.days.length, wide = Math.max(count * LEAST, width), cell = Math.min(wide / count, 40), used = cell * count;
  const offsets = [];
  facts.columns.reduce((top, column, row) => {
    const next = row && column.role !== facts.columns[row - 1].role ? top + GAP : top;
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
    pen.drawImage(base, 0, 0);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
  };
  Object.assign(base, { width: canvas.width, height: canvas.height });
  const first = base.getContext("2d");
  first.setTransform(scale, 0, 0, scale, 0, 0);
  const gap = cell > 6 ? 1 : 0;
  facts.columns.forEach((column, row) => facts.days.forEach((_, step) => {
    first.fillStyle = shades[level(facts, column, step)];
    first.fillRect(step * cell, offsets[row], cell - gap + (gap ? 0 : 0.3), ROW - 1);
  }));
  first.fillStyle = color("--quiet");
  first.font = "11px system-ui, sans-serif";
  const every = Math.max(1, Math.ceil(110 / cell));
  for (let step = count - 1; step >= 0; step -= every) {
    const text = facts.days[step], half = first.measureText(text).width / 2;
    first.fillText(text, Math.min(Math.max(step * cell + cell / 2 - half, 0), used - 2 * half), height - 4);
  }
  plain();
  return {
    point: ({ row, step }) => {
      plain();
      pen.strokeStyle = color("--ink");
      pen.lineWidth = 2;
      pen.strokeRect(step * cell, offsets[row], Math.max(cell - gap, 3), ROW - 1);
    },
    cellAt: (event) => {
      const box = canvas.getBoundingClientRect(), step = Math.floor((event.clientX - box.left) / cell), top = event.clientY - box.top;
      const row = offsets.findIndex((offset) => top >= offset && top < offset + ROW);
      return row >= 0 && step >= 0 && step < count ? { row, step } : null;
    },
  };
}

function asTable(facts) {
  const details = fold("The heat map as a table");
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const newest = facts.days.length - 1;
    details.append(table("Drift by column", ["column", "role", "newest", "days above its limit", "worst day", "then"], facts.columns.map((column) => {
      const over = facts.days.filter((_, step) => level(facts, column, step) > 2).length;
      const worst = column.ratio.reduce((best, ratio, step) => (typeof ratio === "number" && ratio > (column.ratio[best] ?? -1) ? step : best), 0);
      return [column.column, column.role, WORDS[level(facts, column, newest)], number(over),
        file(facts.reports[worst], facts.days[worst]) ?? facts.days[worst], `${number(column.ratio[worst], 1)} times its limit`];
    })));
  });
  return details;
}
