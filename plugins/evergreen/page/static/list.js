// Every model of the installation in one table that can be sorted and filtered.

import { airflow } from "./airflow.js";
import { part } from "./address.js";
import { badge, el, instant, link, number, plural } from "./dom.js";

// The worst first: what somebody has to look at comes before what only has to be known.
const STATES = [["alarm", "Alarm"], ["misconfigured", "Settings wrong"], ["unknown", "Unknown"], ["watching", "Watching"], ["calm", "Calm"], ["reading", "Reading…"]];
const WORDS = new Map(STATES);
const UP = "ascending", DOWN = "descending";

const COLUMNS = [
  { key: "name", head: "Model", first: UP, value: (row) => row.name.toLowerCase() },
  { key: "state", head: "State", first: DOWN, value: (row) => -STATES.findIndex(([state]) => state === row.state) },
  { key: "champion", head: "Champion", first: DOWN, value: (row) => row.champion?.days },
  { key: "live", head: "Live metric", first: DOWN, value: (row) => shortfall(row.performance) },
  { key: "inputs", head: "Inputs", first: UP, value: (row) => row.data?.inputs_day },
  { key: "predictions", head: "Predictions", first: UP, value: (row) => row.data?.predictions_day },
  { key: "labels", head: "Labels", first: UP, value: (row) => row.data?.labels_day },
  { key: "alarms", head: "Alarms", first: DOWN, value: (row) => row.alarms?.count },
  { key: "next", head: "Next run", first: UP, value: (row) => upcoming(row) },
];

/** How much worse than expected a metric is, as a share of what was expected: metrics of several kinds in one order. */
function shortfall(live) {
  if (typeof live?.value !== "number" || typeof live.expected !== "number") return null;
  const worse = live.better === "higher" ? live.expected - live.value : live.value - live.expected;
  return worse / (Math.abs(live.expected) || 1);
}

const upcoming = (row) => (row.airflow?.paused ? null : row.airflow?.next ?? row.due?.at);

/** Build the list once; `show` fills it with what the page's API tells, `tell` with what Airflow does. */
export function modelList() {
  let rows = [], byModel = null, sort = { key: "state", way: DOWN }, wanted = { text: "", state: "" };
  const search = el("input", { type: "search", id: "filter", placeholder: "Name, target, reason…", autocomplete: "off", spellcheck: "false" });
  const states = el("div", { class: "states", role: "group", "aria-label": "State" });
  const count = el("p", { class: "quiet count", role: "status" });
  const heads = new Map(COLUMNS.map((column) => [column.key, headOf(column)]));
  const choice = el("select", { id: "order" }, COLUMNS.map(({ key, head }) => el("option", { value: key }, head)));
  const turn = el("button", { type: "button" });
  const body = el("tbody");
  const table = el("table", { class: "models" },
    el("caption", { class: "unseen" }, "The models of this installation; the buttons in the heads sort them"),
    el("thead", null, el("tr", null, [...heads.values()], el("th", { scope: "col" }, "Airflow"))), body);

  function headOf({ key, head }) {
    const button = el("button", { type: "button" }, head, el("span", { class: "way", "aria-hidden": "true" }));
    button.addEventListener("click", () => order(key));
    return el("th", { scope: "col", class: `of-${key}` }, button);
  }

  /** Sort by a column as it is most useful; again by the same one, the other way round. */
  function order(key, way) {
    const column = COLUMNS.find((one) => one.key === key);
    const other = sort.way === UP ? DOWN : UP;
    sort = { key, way: way ?? (sort.key === key ? other : column.first) };
    draw();
  }

  search.addEventListener("input", () => { wanted.text = search.value.trim().toLowerCase(); draw(); });
  choice.addEventListener("change", () => order(choice.value, COLUMNS.find(({ key }) => key === choice.value).first));
  turn.addEventListener("click", () => order(sort.key));

  function draw() {
    for (const [key, head] of heads) {
      if (key === sort.key) head.setAttribute("aria-sort", sort.way);
      else head.removeAttribute("aria-sort");
    }
    choice.value = sort.key;
    turn.textContent = sort.way === UP ? "↑ ascending" : "↓ descending";
    const known = rows.map((row) => ({ ...row, airflow: byModel?.get(row.name) ?? null }));
    drawStates(known);
    const shown = known.filter((row) => matches(row, wanted)).sort(inOrder(sort));
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    body.replaceChildren(...(shown.length ? shown.map(rowOf) : [nothing()]));
    if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    const all = plural(rows.length, "model");
    count.textContent = shown.length === rows.length ? all : `${shown.length} of ${all}`;
  }

  function drawStates(known) {
    const focused = states.contains(document.activeElement) ? document.activeElement.dataset.state : null;
    const present = STATES.filter(([state]) => state === wanted.state || known.some((row) => row.state === state));
    states.replaceChildren(...[["", "All"], ...present].map(([state, word]) => {
      const many = state ? known.filter((row) => row.state === state).length : known.length;
      const button = el("button", { type: "button", "aria-pressed": String(wanted.state === state), "data-state": state },
        state && el("span", { class: `key of-${state}`, "aria-hidden": "true" }), `${word} `, el("span", { class: "many" }, many));
      button.addEventListener("click", () => { wanted.state = wanted.state === state ? "" : state; draw(); });
      return button;
    }));
    if (focused !== null) states.querySelector(`[data-state="${focused}"]`)?.focus();
  }

  function nothing() {
    const button = el("button", { type: "button" }, "Show all models");
    button.addEventListener("click", () => {
      search.value = "";
      wanted = { text: "", state: "" };
      draw();
      search.focus();
    });
    return el("tr", { class: "alone" }, el("td", { colspan: COLUMNS.length + 1 }, "No model is like this. ", button));
  }

  const bar = el("div", { class: "filters", role: "search" },
    el("label", { for: "filter", class: "unseen" }, "Filter the models by text"), search, states,
    el("div", { class: "sorting" }, el("label", { for: "order" }, "Sort by "), choice, turn), count);
  return {
    nodes: [bar, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Models" }, table)],
    show(facts) {
      const before = new Map(rows.map((row) => [row.name, row]));
      // A model that is being read again goes on showing what was read of it before.
      rows = facts.models.map((row) => (row.state === "reading" ? before.get(row.name) ?? row : row));
      draw();
    },
    tell(airflowFacts) {
      byModel = airflowFacts;
      if (rows.length) draw();
    },
  };
}

function matches(row, { text, state }) {
  if (state && row.state !== state) return false;
  const words = [row.name, row.sentence, row.task?.kind, row.task?.target, row.task?.metric_label, WORDS.get(row.state),
    row.champion && `version ${row.champion.version}`].filter(Boolean).join("\n").toLowerCase();
  return text.split(/\s+/).every((word) => words.includes(word));
}

/** Compare rows by a column; what is not known comes last, whichever way. Equal ones stand by name. */
function inOrder({ key, way }) {
  const { value } = COLUMNS.find((column) => column.key === key), sign = way === UP ? 1 : -1;
  return (one, other) => {
    const [a, b] = [value(one) ?? null, value(other) ?? null];
    if (a !== b && (a === null || b === null)) return a === null ? 1 : -1;
    if (a !== b) return a < b ? -sign : sign;
    return one.name.localeCompare(other.name);
  };
}

function rowOf(row) {
  const name = el("th", { scope: "row", class: "of-name" }, link(part("now", row.name), row.name, { "data-key": `${row.name} now` }),
    row.task && el("span", { class: "about", title: row.task.kind }, `predicts ${row.task.target}`));
  const state = el("td", { class: "of-state" }, badge(row.state, WORDS.get(row.state) ?? row.state),
    row.airflow?.waiting > 0 && [" ", link(airflow("required_actions?response_received=false"), "waits for a person",
      { target: "_top", class: "badge waits", "data-key": `${row.name} waits` })],
    row.task && row.state !== "calm" && el("div", { class: "why", title: row.sentence }, spoken(row)));
  const dags = el("td", { class: "of-dags" }, row.state !== "misconfigured" && link(airflow(`dags?tags=${encodeURIComponent(row.name)}`), "Dags",
    { target: "_top", "aria-label": `Dags of ${row.name}`, "data-key": `${row.name} dags` }));
  if (!row.task) {
    return el("tr", { class: row.state }, name, state, el("td", { class: "alone", colspan: COLUMNS.length - 2 }, row.state !== "reading" && el("span", { class: "said" }, row.sentence)), dags);
  }
  return el("tr", { class: row.state }, name, state, cell("champion", champion(row)), cell("live", live(row)),
    cell("inputs", day(row.data?.inputs_day), row.data?.days_late > 0 && el("span", { class: `note${row.data.status === "late" ? " loud" : ""}` }, `${plural(row.data.days_late, "day")} late`)),
    cell("predictions", day(row.data?.predictions_day)), cell("labels", day(row.data?.labels_day)), cell("alarms", alarms(row)), cell("next", next(row)), dags);
}

/** Give a row's sentence without the word that its state has already said. */
function spoken({ state, sentence }) {
  const word = WORDS.get(state) ?? "";
  return sentence?.startsWith(`${word} `) ? sentence.slice(word.length + 1) : sentence ?? "";
}

const cell = (key, ...content) => el("td", { class: `of-${key}`, "data-head": COLUMNS.find((column) => column.key === key).head }, content);
const none = (word) => el("span", { class: "quiet" }, word);
const day = (iso) => (iso ? el("span", { class: "when" }, iso) : none("none"));

function champion({ name, champion: serving }) {
  if (!serving) return none("none");
  return [link(part(`versions/${serving.version}`, name), `version ${serving.version}`, { "data-key": `${name} version` }),
    el("span", { class: "note" }, serving.days ? `for ${plural(serving.days, "day")}` : `from ${serving.since}`)];
}

function live({ performance, task }) {
  if (typeof performance?.value !== "number") return none("not measured");
  const beside = [["expected", performance.expected], ["base rate", performance.base_rate]];
  const expected = beside.filter(([, value]) => typeof value === "number").map(([name, value]) => `${name} ${number(value)}`).join(", ");
  return [el("span", { class: "when" }, number(performance.value), " ", el("small", null, task.metric_label)),
    expected && el("span", { class: "note" }, expected), performance.status === "decay" && badge("decay")];
}

function alarms({ alarms: open }) {
  if (!open?.count) return none("0");
  return el("strong", { class: "open", title: open.since && `since ${open.since}` }, number(open.count));
}

function next(row) {
  if (row.airflow?.paused) return el("span", { class: "note loud" }, "paused in Airflow");
  const at = upcoming(row);
  const [on, hour] = at ? instant(at).split(" ") : [];
  return [at ? el("span", { class: "when" }, on, " ", el("span", { class: "note" }, hour)) : none("unknown"),
    row.airflow?.running.length > 0 && el("span", { class: "note" }, `${row.airflow.running.join(", ")} running`)];
}
