// What is shown when: the overview, or one view that the address names.

import { leaveTheFrame, nameOutside, placed, running, runsInWords, showWaiting } from "./airflow.js";
import { ask, el, link, show } from "./dom.js";
import { drawData } from "./data.js";
import { drawDecision, drawDecisions } from "./decisions.js";
import { drawDrift } from "./drift.js";
import { drawComparison, drawModel, drawModels } from "./models.js";
import { drawNow } from "./now.js";
import { drawTimeline } from "./timeline.js";

const OVERVIEW = ["now", "timeline", "drift"], AGAIN = 60000, DAYS = 90;
const view = document.getElementById("view"), overview = document.getElementById("overview");
const body = (name) => document.querySelector(`#${name} > .body`);
let last = { now: "", runs: null }, opened = false;

async function refreshNow() {
  const busy = body("now");
  try {
    const [now] = await Promise.all([ask("now"), placed]), text = JSON.stringify(now);
    document.getElementById("task").textContent = now.task?.name ?? "";
    if (text !== last.now) {
      busy.replaceChildren(...[drawNow(now)].flat(Infinity).filter(Boolean));
      last.now = text;
      if (last.runs) document.getElementById("runs")?.replaceChildren(...runsInWords(last.runs).filter(Boolean));
    }
  } catch (problem) {
    busy.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message));
    last.now = "";
  }
  busy.removeAttribute("aria-busy");
  busy.classList.remove("tall");
}

async function refreshRuns() {
  last.runs = await running();
  document.getElementById("runs")?.replaceChildren(...runsInWords(last.runs).filter(Boolean));
  showWaiting(last.runs.waiting);
}

const timeline = (days) => show(body("timeline"), `timeline?days=${days}`, (facts) => drawTimeline(facts, days, timeline), placed);
const drift = (days) => show(body("drift"), `drift?days=${days}`, (facts) => drawDrift(facts, days, drift), placed);

function openOverview() {
  if (opened) return;
  opened = true;
  // What comes below is shown when its place is known: nothing that is looked at moves.
  refreshNow().finally(() => {
    for (const below of document.querySelectorAll("#overview > section, footer")) below.hidden = false;
    toSection();
  });
  refreshRuns();
  timeline(DAYS);
  drift(DAYS);
}

/** Give the heading, the way back, the question and the drawing of a view. */
function viewOf([name, one, other]) {
  if (name === "decisions" && one) return ["Decision", ["decisions", "All decisions"], `decisions/${encodeURIComponent(one)}`, drawDecision];
  if (name === "decisions") return ["Decisions", null, "decisions", drawDecisions];
  if (name === "data") return ["Data", null, "data", drawData];
  if (name === "models" && other) {
    return [`Version ${one} beside version ${other}`, ["models", "All versions"],
      `compare?a=${encodeURIComponent(one)}&b=${encodeURIComponent(other)}`, drawComparison];
  }
  if (name === "models" && one) return [`Version ${one}`, ["models", "All versions"], `models/${encodeURIComponent(one)}`, drawModel];
  return ["Models", null, "models", drawModels];
}

const toSection = () => OVERVIEW.includes(location.hash.slice(1)) && document.querySelector(location.hash).scrollIntoView();

function route() {
  const parts = location.hash.slice(1).split("/").map(decodeURIComponent), name = parts[0] || "now";
  const inOverview = OVERVIEW.includes(name) || !["decisions", "data", "models"].includes(name);
  for (const anchor of document.querySelectorAll("#sections a")) {
    if (anchor.hash === `#${name}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  overview.hidden = !inOverview;
  view.hidden = inOverview;
  if (inOverview) {
    openOverview();
    document.querySelector("footer").hidden = document.getElementById("drift").hidden;
    toSection();
    return;
  }
  const [title, back, path, draw] = viewOf(parts);
  const place = el("div", { class: "body tall" }, "Loading…"), heading = el("h2", { tabindex: -1 }, title);
  const footer = document.querySelector("footer");
  footer.hidden = true;
  view.replaceChildren(...[back && el("p", null, link(`#${back[0]}`, `← ${back[1]}`)), heading, place].filter(Boolean));
  scrollTo(0, 0);
  if (document.activeElement !== document.body && !document.activeElement.closest("#sections")) heading.focus({ preventScroll: true });
  show(place, path, draw, placed).then(() => (footer.hidden = false));
}

leaveTheFrame();
addEventListener("hashchange", route);
addEventListener("hashchange", nameOutside);
route();
setInterval(() => {
  if (document.hidden || overview.hidden) return;
  refreshNow();
  refreshRuns();
}, AGAIN);
