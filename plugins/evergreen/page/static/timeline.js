// The live metric by day with its interval, who served, and what happened.

import { part } from "./address.js";
import { badge, decisionLink, el, empty, file, fold, interval, intervalName, kindInWords, link, number, orDash, sentences, svg, table } from "./dom.js";
import { keepDrawn, scrubber, spans, summary } from "./scrubber.js";

const HEIGHT = 260, LEFT = 48, RIGHT = 10, TOP = 12, PLOT = 170, LANE = TOP + PLOT + 24, STRIP = LANE + 20, DAY = 86400000;
const SIGNS = { promotion: "▲", hold: "■", rejection: "✕", rollback: "▼", withdrawal: "▽", retrain_request: "●", day_exclusion: "⊘", day_inclusion: "⊕", split_stop: "◧", split_resumption: "◨", alarm: "!" };
const index = (day) => Date.parse(day) / DAY;

/** The day whose labels a day alone was measured by: its loss is that day's, and of who served then. */
const measuredDay = (day) => day.labelled_day ?? day.day;
const servedOn = (tenures, day) => tenures.find((one) => one.first_day <= day && (one.last_day === null || day <= one.last_day))?.version;

export function drawTimeline(facts, days, choose) {
  const buttons = spans("Days shown in the timeline", days, choose);
  if (!facts.days.length) return [buttons, empty(facts.hint, "No day was monitored yet.")];
  const label = facts.metric.metric_label;
  const marks = Map.groupBy ? Map.groupBy(facts.marks, (mark) => mark.day) : grouped(facts.marks);
  const place = el("div", { class: "chart" });
  let chart = null;
  const slider = scrubber(`Day of the timeline`, facts.days.length, (step) => tell(facts.days[step], marks, label, facts.champion_tenures), (step) => chart?.point(step));
  keepDrawn(place, (width) => {
    chart = draw(facts, width);
    place.replaceChildren(chart.node);
    chart.point(slider.step());
  });
  const stepAt = (event) => chart.stepAt(event.clientX - place.getBoundingClientRect().left);
  place.addEventListener("pointermove", (event) => event.pointerType === "mouse" && slider.move(stepAt(event)));
  place.addEventListener("click", (event) => {
    const id = event.target.closest?.("[data-decision]")?.dataset.decision;
    if (id) location.hash = part(`decisions/${encodeURIComponent(id)}`);
    else slider.move(stepAt(event));
  });
  slider.move(facts.days.length - 1);
  return [buttons, legend(label, facts.confidence, marks, facts.days), place, slider.node, empty(facts.hint), asTable(facts, marks, label),
    el("p", { class: "links" }, link(part("performance"), "Performance over time: any figure, slices, labels, volume and trainings, with zoom"))];
}

function grouped(marks) {
  const found = new Map();
  for (const mark of marks) found.set(mark.day, [...(found.get(mark.day) ?? []), mark]);
  return found;
}

const firstOf = (label) => String(label).split("; ")[0];

function tell(day, marks, label, tenures) {
  const live = day.window?.value ?? day.value;
  const happened = marks.get(day.day) ?? [];
  const measured = live === null || live === undefined ? `${label} not measured` : `${label} ${number(live)}${interval(day.window) ? ` (${interval(day.window)})` : ""}`;
  const alone = typeof day.value === "number" && day.labelled_day ? alonePart(day, servedOn(tenures, day.labelled_day)) : "";
  const expected = day.expected === null || day.expected === undefined ? "" : `, expected ${number(day.expected)}`;
  const base = typeof day.base_rate === "number" ? `, the base rate's ${number(day.base_rate)}` : "";
  return {
    text: [day.day, day.replayed && "replayed", day.state, measured, ...happened.map((mark) => firstOf(mark.label))].filter(Boolean).join(", "),
    more: [
      el("p", null, el("strong", null, day.day), " ", badge(day.state), day.replayed && [" ", badge("replayed")], ` version ${day.version ?? "none"}: ${measured}${base}${expected}${alone}`),
      el("div", { class: "quiet" }, sentences([day.message ?? ""], 2)),
      el("p", { class: "links" }, file(day.report, "Evidently report"),
        happened.map((mark) => (mark.decision_id ? decisionLink(mark.decision_id, firstOf(mark.label)) : el("span", null, firstOf(mark.label))))),
    ],
  };
}

const alonePart = (day, version) => `; ${day.labelled_day} alone ${number(day.value)}${version ? `, served by version ${version}` : ""}`;

function legend(label, confidence, marks, days) {
  const kinds = [...new Set([...marks.values()].flat().map((mark) => mark.kind))];
  return el("p", { class: "legend" },
    el("span", { class: "key line" }), `${label}, trailing window with ${intervalName(confidence)} `,
    el("span", { class: "key dot" }), "one labelled day ", el("span", { class: "key dashed" }), "expected from the holdout ",
    days.some((day) => typeof day.base_rate === "number") && [el("span", { class: "key dotted" }), "the base rate's "],
    days.some((day) => day.replayed) && [el("span", { class: "key past" }), "replayed days "],
    kinds.map((kind) => [el("span", { class: `mark ${kind.replaceAll("_", "-")}`, "aria-hidden": "true" }, SIGNS[kind] ?? "◆"), ` ${kindInWords(kind)} `]));
}

function draw(facts, width) {
  const days = facts.days, first = Math.min(...days.map((day) => index(measuredDay(day)))), last = Math.max(index(days.at(-1).day), first + 1);
  const x = (day) => LEFT + ((index(day) - first) / (last - first)) * (width - LEFT - RIGHT);
  const values = days.flatMap((day) => [day.window?.low, day.window?.high, day.window?.value, day.value, day.expected, day.base_rate]).filter((v) => typeof v === "number");
  const lowest = values.length ? Math.min(...values) : 0, highest = values.length ? Math.max(...values) : 1;
  const room = (highest - lowest || Math.abs(highest) || 1) * 0.05;
  const y = (value) => TOP + PLOT * (1 - (value - lowest + room) / (highest - lowest + 2 * room));
  const path = (pick) => {
    let pen = "M";
    return days.map((day) => {
      const value = pick(day);
      if (typeof value !== "number") return (pen = "M"), "";
      const step = `${pen}${x(day.day).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return step;
    }).join("");
  };
  const guide = svg("line", { class: "guide", y1: TOP, y2: STRIP + 12 });
  const node = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
    "aria-label": `${facts.metric.metric_label} by day, ${summary(days[0].day, days.at(-1).day, days.length)}; the slider below reads each day` },
    pastDays(days, x), ticks(lowest, highest, y, width), months(days, x, width),
    bands(days, x, y).map((d) => svg("path", { class: "band", d })),
    svg("path", { class: "expected", d: path((day) => day.expected) }),
    svg("path", { class: "base-rate", d: path((day) => day.base_rate) }),
    svg("path", { class: "dots", d: dots(days, x, y) }),
    svg("path", { class: "live", d: path((day) => day.window?.value) }),
    states(days, x), champion_tenures(facts, x, first, last), happenings(facts, x, first, last), guide);
  const places = days.map((day) => x(day.day));
  return {
    node,
    point: (step) => { guide.setAttribute("x1", places[step]); guide.setAttribute("x2", places[step]); },
    stepAt: (at) => places.reduce((best, place, step) => (Math.abs(place - at) < Math.abs(places[best] - at) ? step : best), 0),
  };
}

/** Shade the days that a replay has lived through: nobody was there on them. */
function pastDays(days, x) {
  const half = days.length > 1 ? (x(days[1].day) - x(days[0].day)) / 2 : 3, runs = [];
  days.forEach((day, at) => {
    if (!day.replayed) return;
    if (at > 0 && days[at - 1].replayed) runs.at(-1)[1] = day.day;
    else runs.push([day.day, day.day]);
  });
  return runs.map(([first, last]) => svg("rect", { class: "past", x: Math.max(x(first) - half, LEFT), y: TOP, height: PLOT,
    width: Math.max(x(last) + half - Math.max(x(first) - half, LEFT), 1) }, svg("title", null, `replayed from ${first} to ${last}`)));
}

function bands(days, x, y) {
  const pieces = [[]];
  for (const day of days) {
    if (typeof day.window?.low === "number" && typeof day.window?.high === "number") pieces.at(-1).push(day);
    else if (pieces.at(-1).length) pieces.push([]);
  }
  const point = (day, value) => `${x(day.day).toFixed(1)} ${y(value).toFixed(1)}`;
  return pieces.filter((piece) => piece.length > 1).map((piece) =>
    `M${piece.map((day) => point(day, day.window.high)).join("L")}L${piece.toReversed().map((day) => point(day, day.window.low)).join("L")}Z`);
}

/** One path of tiny strokes with round ends: a thousand days are one element. */
const dots = (days, x, y) => days.filter((day) => typeof day.value === "number")
  .map((day) => `M${x(measuredDay(day)).toFixed(1)} ${y(day.value).toFixed(1)}h0`).join("");

function ticks(lowest, highest, y, width) {
  const step = 10 ** Math.floor(Math.log10((highest - lowest || 1) / 2));
  const size = [1, 2, 5, 10].map((n) => n * step).find((n) => (highest - lowest || 1) / n <= 5);
  const digits = Math.max(0, -Math.floor(Math.log10(size)));
  const found = [];
  for (let value = Math.ceil(lowest / size) * size; value <= highest + size / 1e6; value += size) found.push(value);
  return found.map((value) => [
    svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
    svg("text", { class: "tick", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(digits)),
  ]);
}

function months(days, x, width) {
  const most = Math.max(2, Math.floor(width / 110));
  const every = Math.ceil(days.length / most);
  return days.filter((_, at) => (days.length - 1 - at) % every === 0).map((day) =>
    svg("text", { class: "tick", x: Math.min(Math.max(x(day.day), LEFT + 20), width - 34), y: TOP + PLOT + 16, "text-anchor": "middle" }, day.day));
}

/** A strip that says by colour how each run of days was; the line below the chart says it in words. */
function states(days, x) {
  const runs = [];
  for (const day of days) {
    const before = runs.at(-1);
    if (before && before.state === day.state) before.last = day.day;
    else runs.push({ state: day.state, first: day.day, last: day.day });
  }
  const half = days.length > 1 ? (x(days[1].day) - x(days[0].day)) / 2 : 3;
  return runs.map(({ state, first, last }) => svg("rect", { class: `strip ${state}`, x: x(first) - half, y: STRIP + 6,
    width: Math.max(x(last) - x(first) + 2 * half, 1), height: 6 }, svg("title", null, `${state} from ${first} to ${last}`)));
}

function champion_tenures(facts, x, first, last) {
  return facts.champion_tenures.map(({ version, first_day, last_day }) => {
    const from = Math.max(index(first_day) - 0.5, first), to = Math.min(last_day ? index(last_day) + 0.5 : last, last);
    if (to <= from) return null;
    const [left, right] = [from, to].map((day) => x(new Date(day * DAY).toISOString()));
    return svg("g", null,
      svg("line", { class: "tenure", x1: left + 1, x2: right - 1, y1: STRIP + 20, y2: STRIP + 20 }),
      right - left > 24 && svg("text", { class: "tick", x: (left + right) / 2, y: STRIP + 34, "text-anchor": "middle" }, `v${version}`));
  });
}

function happenings(facts, x, first, last) {
  return facts.marks.filter((mark) => index(mark.day) >= first && index(mark.day) <= last).map((mark) =>
    svg("text", { class: `mark ${mark.kind.replaceAll("_", "-")}`, x: x(mark.day), y: LANE + 12, "text-anchor": "middle", "data-decision": mark.decision_id },
      SIGNS[mark.kind] ?? "◆", svg("title", null, `${mark.day}: ${mark.label}`)));
}

function asTable(facts, marks, label) {
  const details = fold("The timeline as a table");
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    details.append(table("The timeline, newest day first", ["day", "state", "version", label, intervalName(facts.confidence), "base rate's", "expected", "happened", "report"],
      facts.days.toReversed().map((day) => [day.day, [badge(day.state), day.replayed && " replayed"], day.version ?? "none", number(day.window?.value ?? day.value),
        interval(day.window), orDash(day.base_rate), number(day.expected), sentences((marks.get(day.day) ?? []).map((mark) => mark.label)), file(day.report, "report")])));
  });
  return details;
}
