// Start a run by Airflow's own API, with the rights of whoever clicks, and follow it to its end.

import { airflow, airflowApi, pathOf, runLinkOf } from "./airflow.js";
import { el, instant, link, plural } from "./dom.js";

const KEPT = "evergreen-started", OFTEN = 2000, SELDOM = 10000, LONG = 120000, UNMOVED = 45000;
const SLOTS = "see whether Airflow's scheduler runs and whether its pool has free slots";
let changed = () => {};

/** Name what is called when a run has changed what the page shows. */
export const onChange = (call) => (changed = call);

/** Give the id that a run gets however often its button is pressed: Airflow takes each only once. */
export const runId = () => `manual__${new Date().toISOString()}_${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;

/** Give the path of a run in Airflow's API. */
export const runPath = (dag, run) => `${pathOf(dag)}/dagRuns/${encodeURIComponent(run)}`;

/** Say what Airflow's refusal means, and what to do next. */
export function refusal({ status, detail }, what, dag) {
  if (status === 0) return "Airflow's API server did not answer. See whether it runs, then press again: however often you press, it is done once.";
  if (status === 401) return "You are no longer logged in to Airflow. Log in again in another tab, then press again: what you wrote stays here.";
  if (status === 403) return `Your role in Airflow may not ${what}. Ask somebody whose role may trigger ${dag}.`;
  if (status === 404) return `Airflow does not have this (${dag}). Reload the page; if it stays so, look at the import errors on Airflow's page of Dags.`;
  if (status === 409) return `Airflow has this already, so that nothing was done twice: reload the page to see how it stands.${detail ? ` It answered: ${detail}` : ""}`;
  if (status === 400 || status === 422) return `Airflow did not take what was filled in${detail ? `: ${detail}` : ""}. Correct it, then press again.`;
  if (status === 429 || status === 503) return `Airflow is too busy to take this (${status}). Wait a minute, then press again: however often you press, it is done once.`;
  return `Airflow could not do this (${status}); the log of its API server says why. Where its database is SQLite it may only be busy: press again in some seconds. However often you press, it is done once.`;
}

/** Trigger a Dag under an id of ours. One that is there already was started by an earlier press. */
export async function trigger(dag, run, conf, more = {}) {
  try {
    await airflowApi(`${pathOf(dag)}/dagRuns`, "POST", { dag_run_id: run, logical_date: null, conf, ...more });
  } catch (err) {
    if (err.status !== 409) throw err;
    await airflowApi(runPath(dag, run)).catch(() => { throw err; }); // not there: it was something else that conflicts
  }
  return run;
}

const remembered = () => {
  try { return JSON.parse(sessionStorage.getItem(KEPT)) ?? []; } catch { return []; }
};
function remember(runs) {
  try { sessionStorage.setItem(KEPT, JSON.stringify(runs)); } catch { /* a browser that keeps nothing forgets them with the page */ }
}

/** Forget a run, so that it is not followed after the page is loaded again. */
export const forget = (run) => remember(remembered().filter((one) => one.run !== run));

/** Follow the runs again that had not ended when the page was left. */
export const unfinished = () => remembered().map(({ dag, run, about }) => followed(dag, run, about));

/** Give a place that says how a run stands until it has ended, whichever model is shown; ``about`` says in words what was started. */
export function followed(dag, run, about) {
  const words = el("p", { role: "status" }, "Started.");
  const place = el("div", { class: "followed", "data-run": run }, el("p", null, el("strong", null, about), " ", runLinkOf(dag, run, `run of ${dag} in Airflow`)), words);
  remember([...remembered().filter((one) => one.run !== run), { dag, run, about }]);
  follow(dag, run, (text, state) => {
    const content = [text].flat();
    if (words.textContent !== content.map((one) => one.textContent ?? one).join("")) words.replaceChildren(...content);
    place.dataset.state = state;
  });
  return place;
}

async function follow(dag, run, tell) {
  const begun = Date.now();
  for (;;) {
    try {
      const facts = await airflowApi(runPath(dag, run));
      if (facts.state === "success" || facts.state === "failed") {
        tell(ending(facts, await note(dag, run, facts)), facts.state);
        forget(run);
        changed();
        return;
      }
      tell(...(facts.state === "queued" ? await queued(dag, run, begun) : await running(dag, run, facts)));
    } catch (err) {
      if (err.status === 404) forget(run);
      if (err.status === 401 || err.status === 404) return tell(err.status === 401 ? "You are no longer logged in to Airflow: log in again, then reload. The run goes on." : "The run is no longer in Airflow: somebody deleted it.", "unknown");
      tell("Airflow does not answer at the moment; it is asked again. The run goes on.", "unknown");
    }
    await pause(Date.now() - begun > LONG ? SELDOM : OFTEN);
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Give the note of a run that has ended: Airflow's scheduler writes it right after the end. */
async function note(dag, run, facts) {
  for (let tries = 0, known = facts; ; tries += 1) {
    if (known.note || tries === 3) return known.note;
    await pause(1000);
    known = await airflowApi(runPath(dag, run)).catch(() => known);
  }
}

function ending({ state }, text) {
  const sentence = text ? text.replace(/([^.!?…])$/, "$1.") : "";
  if (state === "success") return sentence ? `Done. ${sentence}` : "Done: the run ended well.";
  return sentence ? `It failed. ${sentence}` : "It failed: the log of the task that is red says why, and a mail was sent.";
}

async function queued(dag, run, begun) {
  const [facts, others] = await Promise.all([airflowApi(pathOf(dag)), airflowApi(`${pathOf(dag)}/dagRuns?state=running&limit=5`)]);
  if (facts.is_paused) {
    return [["It waits: ", link(airflow(pathOf(dag)), `${dag} is paused in Airflow`, { target: "_top" }), ". It begins when somebody switches the Dag on."], "queued"];
  }
  const ahead = others.dag_runs.filter((other) => other.dag_run_id !== run);
  if (ahead.length >= (facts.max_active_runs ?? 16)) {
    return [["It waits until ", runLinkOf(dag, ahead[0].dag_run_id, "a run that began before"), " has ended."], "queued"];
  }
  return [Date.now() - begun > UNMOVED ? `It has waited for ${plural(Math.round((Date.now() - begun) / 1000), "second")}: ${SLOTS}.` : "It waits for Airflow's scheduler.", "queued"];
}

async function running(dag, run, facts) {
  const { task_instances: tasks } = await airflowApi(`${runPath(dag, run)}/taskInstances?limit=50`);
  const over = tasks.filter(({ state }) => ["success", "skipped", "failed", "upstream_failed", "removed"].includes(state)).length;
  const now = tasks.filter(({ state }) => ["running", "deferred", "awaiting_input", "up_for_retry"].includes(state));
  if (now.some(({ state }) => state === "awaiting_input" || state === "deferred")) return [`It waits for a person's answer, since ${instant(now[0].start_date)} UTC.`, "waiting"];
  const again = now.some(({ state }) => state === "up_for_retry") ? " A task failed and is tried again soon." : "";
  return [`It runs${now.length ? `: ${now.map((one) => one.task_display_name ?? one.task_id).join(", ")}` : ""} (${over} of ${plural(tasks.length, "task")} done).${again}`, "running"];
}
