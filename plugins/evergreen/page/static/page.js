// What is shown when: the list of models, the overview of one, or one view of it that the address names.

import { allowed, findActions, keepStarted, wireHead } from "./actions.js";
import { configure, current, inModel, OVERVIEW, part, turn } from "./address.js";
import { everyModel, findPlaces, leaveTheFrame, nameOutside, running, runsInWords, showWaiting } from "./airflow.js";
import { ask, el, link, show } from "./dom.js";
import { drawData } from "./data.js";
import { drawDecision, drawDecisions } from "./decisions.js";
import { drawDrift, openCell } from "./drift.js";
import { placeFirstLook } from "./first_look.js";
import { onChange, unfinished } from "./runs.js";
import { modelList } from "./list.js";
import { drawNow } from "./now.js";
import { drawServed } from "./served.js";
import { drawTimeline } from "./timeline.js";
import { drawComparison, drawVersion, drawVersions } from "./versions.js";

const AGAIN = 60000, SOON = 1000, STALE = 8000, DAYS = 90;
const [models, overview, view] = ["models", "overview", "view"].map((id) => document.getElementById(id));
const footer = document.querySelector("footer"), below = OVERVIEW.slice(1).map((id) => document.getElementById(id));
const body = (name) => document.querySelector(`#${name} > .body`);
let last = { now: "", runs: null }, drawn = null, placed = null, list = null, asking = null;

const alertOf = (place) => place.querySelector(":scope > .problem[role=alert]");
const alerted = (place) => alertOf(place)?.textContent;
const alarmed = (problem) => el("p", { class: "problem", role: "alert" }, problem.message);

function settled(place) {
  place.removeAttribute("aria-busy");
  place.classList.remove("tall");
}

// --- the list -------------------------------------------------------------------------------------------

/** Ask for the list, and soon again while models are still being read. */
async function refreshList() {
  const place = body("models");
  clearTimeout(asking);
  try {
    const facts = await ask("models");
    if (!list) place.replaceChildren(...(list = modelList()).nodes);
    else alertOf(place)?.remove();
    list.show(facts);
    if (facts.reading && !models.hidden) asking = setTimeout(refreshList, SOON);
  } catch (problem) {
    if (!list) place.replaceChildren(alarmed(problem));
    else if (alerted(place) !== problem.message) {
      alertOf(place)?.remove();
      place.prepend(alarmed(problem));
    }
  }
  settled(place);
  footer.hidden = models.hidden;
}

async function refreshAirflow() {
  const answer = await everyModel();
  if (current()) return;
  list?.tell(answer.models);
  showWaiting(answer.waiting);
}

function openList() {
  document.title = "Evergreen";
  footer.hidden = !list;
  refreshList().then(refreshAirflow);
}

// --- the overview of a model ------------------------------------------------------------------------------

async function refreshNow() {
  const busy = body("now"), whose = current();
  try {
    const [now] = await Promise.all([ask(inModel("now")), placed]), text = JSON.stringify(now);
    if (whose !== current()) return;
    if (text !== last.now) {
      busy.replaceChildren(...[drawNow(now)].flat(Infinity).filter(Boolean));
      last.now = text;
      if (last.runs) document.getElementById("runs")?.replaceChildren(...runsInWords(last.runs).filter(Boolean));
      placeFirstLook(now, refreshNow);
    }
  } catch (problem) {
    if (whose !== current()) return;
    busy.replaceChildren(alarmed(problem));
    last.now = "";
  }
  settled(busy);
}

async function refreshRuns() {
  const whose = current(), answer = await running();
  if (whose !== current()) return;
  last.runs = answer;
  document.getElementById("runs")?.replaceChildren(...runsInWords(answer).filter(Boolean));
  await placed; // who may answer is known by then
  showWaiting(answer.waiting, allowed("answer"));
}

const timeline = (days) => show(body("timeline"), inModel(`timeline?days=${days}`), (facts) => drawTimeline(facts, days, timeline), placed).then(showBelow);
const drift = (days) => show(body("drift"), inModel(`drift?days=${days}`), (facts) => drawDrift(facts, days, drift), placed).then(showBelow);

/** Show what comes below Now once its place is known, so that nothing that is looked at moves; not the same problem thrice. */
function showBelow() {
  const now = body("now");
  if (now.hasAttribute("aria-busy")) return;
  for (const section of below) section.hidden = Boolean(alerted(now)) && alerted(section.querySelector(".body")) === alerted(now);
  footer.hidden = overview.hidden;
}

function openOverview() {
  if (drawn === current()) return;
  drawn = current();
  last = { now: "", runs: null };
  for (const name of OVERVIEW) body(name).replaceWith(el("div", { class: "body tall", "aria-busy": "true" }, "Loading…"));
  for (const section of below) section.hidden = true;
  footer.hidden = true;
  const whose = drawn;
  refreshNow().finally(() => {
    if (whose !== current()) return;
    showBelow();
    toSection();
  });
  timeline(DAYS);
  drift(DAYS);
}

/** Draw performance over time with code that no other part of the page needs. */
function performance(facts) {
  const place = el("div", { class: "charts", "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading…"));
  import("./performance.js").then(({ drawPerformance }) => drawPerformance(place, facts, DAYS));
  return place;
}

// --- the other views of a model -----------------------------------------------------------------------------

/** Give the heading, the way back, the question and the drawing of a view. */
function viewOf([name, one, other]) {
  if (name === "decisions" && one) return ["Decision", ["decisions", "All decisions"], `decisions/${encodeURIComponent(one)}`, drawDecision];
  if (name === "decisions") return ["Decisions", null, "decisions", drawDecisions];
  if (name === "performance") return ["Performance over time", ["timeline", "Timeline"], `timeline/charts?days=${DAYS}`, performance];
  if (name === "data") return ["Data", null, "data", drawData];
  if (name === "serving") return ["Serving", null, "served", drawServed];
  if (other) {
    return [`Version ${one} compared with version ${other}`, ["versions", "All versions"],
      `compare?a=${encodeURIComponent(one)}&b=${encodeURIComponent(other)}`, drawComparison];
  }
  if (one) return [`Version ${one}`, ["versions", "All versions"], `versions/${encodeURIComponent(one)}`, drawVersion];
  return ["Versions", null, "versions", drawVersions];
}

let shown = null;

function openView(parts) {
  const [title, back, path, draw] = viewOf(parts);
  const place = el("div", { class: "body tall" }, "Loading…"), heading = el("h2", { tabindex: -1 }, title);
  shown = () => place.isConnected && show(place, inModel(path), draw, placed);
  footer.hidden = true;
  view.replaceChildren(...[back && el("p", null, link(part(back[0]), `← ${back[1]}`)), heading, place].filter(Boolean));
  scrollTo(0, 0);
  if (document.activeElement !== document.body && !document.activeElement.closest("#sections")) heading.focus({ preventScroll: true });
  show(place, inModel(path), draw, placed).then(() => place.isConnected && (footer.hidden = view.hidden));
}

// --- which of them ------------------------------------------------------------------------------------------

let entered = null, section = "", listTop = 0;
const toSection = () => !overview.hidden && (section === "drift" && document.querySelector("#drift .panel") || below.find(({ id }) => id === section))?.scrollIntoView();

/** Let the heading and the buttons be those of the model that is shown. */
function enter(model) {
  Object.assign(document.getElementById("model"), { textContent: model, title: model });
  document.getElementById("sections").hidden = !model;
  for (const button of document.querySelectorAll("[data-act]")) button.hidden = true;
  drawn = null;
  showWaiting(null);
  if (!model) return;
  document.title = `${model} · Evergreen`;
  for (const anchor of document.querySelectorAll("[data-part]")) anchor.href = part(anchor.dataset.part);
  placed = Promise.all([findPlaces(), findActions()]);
  last.runs = null;
  refreshRuns();
}

function route() {
  const parts = turn(), model = current(), other = entered !== model, first = entered === null;
  section = parts[0] ?? "";
  if (other) enter(model);
  entered = model;
  for (const anchor of document.querySelectorAll("[data-part]")) {
    if (anchor.dataset.part === section) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  models.hidden = Boolean(model);
  overview.hidden = !OVERVIEW.includes(section);
  view.hidden = !model || !overview.hidden;
  clearTimeout(asking);
  if (other && !first) scrollTo(0, model ? 0 : listTop);
  if (!model) {
    if (!first) document.getElementById("models-title").focus({ preventScroll: true });
    openList();
  } else if (view.hidden) {
    const opened = drawn === model;
    if (section === "drift" && parts.length > 2) openCell(parts[1], parts[2]);
    openOverview();
    if (section === "drift" && parts.length > 2 && opened) drift(DAYS); // the day may have come since
    showBelow();
    if (section === "now") scrollTo(0, 0);
    else toSection();
  } else openView(parts);
}

// Whoever comes back to the list finds it where it was left.
addEventListener("scroll", () => !models.hidden && (listTop = scrollY), { passive: true });
leaveTheFrame();
wireHead();
for (const place of unfinished()) keepStarted(place);
onChange(() => {
  refreshAll();
  setTimeout(refreshAll, STALE); // what the page's API remembers for some seconds is read anew by then
});
ask("names").then(
  (names) => {
    configure(names.models);
    addEventListener("hashchange", route);
    addEventListener("hashchange", nameOutside);
    route();
    nameOutside();
  },
  (problem) => {
    models.hidden = false;
    body("models").replaceChildren(alarmed(problem));
    settled(body("models"));
  },
);

function refresh() {
  if (!models.hidden) refreshList().then(refreshAirflow);
  else if (!overview.hidden) {
    refreshNow().then(showBelow);
    refreshRuns();
  }
}

/** Show what a run has changed, in whichever part is looked at. */
function refreshAll() {
  refresh();
  if (!view.hidden) {
    shown?.();
    refreshRuns();
    drawn = null; // the overview is read anew when it is opened
  } else if (!overview.hidden) timeline(DAYS);
}
setInterval(() => !document.hidden && entered !== null && refresh(), AGAIN);
