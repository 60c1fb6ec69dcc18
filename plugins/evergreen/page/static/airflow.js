// The way out of the frame that Airflow puts this page in, and what Airflow itself knows: runs and waiting people.

import { current, dagId, inModel } from "./address.js";
import { ask, el, instant, link, plural } from "./dom.js";

const ROOT = new URL("../", document.baseURI);
const DAGS = ["ingest", "score", "monitor", "retrain", "rollback"];
const AT_ONCE = 100; // as many as Airflow gives of a list at once

export const airflow = (path) => new URL(path, ROOT).href;

/** Give the path of a Dag: the same in Airflow's pages as in its API. `dagPath` has one of the model that is shown. */
export const pathOf = (dag) => `dags/${encodeURIComponent(dag)}`;
export const dagPath = (verb, of) => pathOf(dagId(verb, of));
export const runLinkOf = (dag, run, text) =>
  run ? link(airflow(`${pathOf(dag)}/runs/${encodeURIComponent(run)}`), text ?? "run in Airflow", { target: "_top" }) : null;
export const runLink = (verb, run, text) => runLinkOf(dagId(verb), run, text);

let mlflow = null, experiment = null, registered = null;
const ML_VIEW = "?workflowType=machine_learning"; // else MLflow opens its view of GenAI applications

/** Find where MLflow's pages of the model that is shown are, if it has any; settles when that is known. */
export async function findPlaces() {
  const whose = current();
  mlflow = experiment = registered = null;
  const places = await ask(inModel("places")).catch(() => null);
  if (!places || whose !== current()) return;
  mlflow = /^https?:/.test(places.mlflow ?? "") ? places.mlflow : null;
  experiment = places.experiment ?? null; // MLflow's shorter address of a run forgets the view on its way
  registered = places.registered_model ?? whose;
}
export const mlflowRun = (run, text) =>
  mlflow && run ? link(`${mlflow}/#/${experiment ? `experiments/${encodeURIComponent(experiment)}/` : ""}runs/${encodeURIComponent(run)}${ML_VIEW}`, text ?? "run in MLflow", { target: "_blank", rel: "noopener" }) : null;
export const mlflowVersion = (version) =>
  mlflow && version ? link(`${mlflow}/#/models/${encodeURIComponent(registered)}/versions/${version}${ML_VIEW}`, "in MLflow", { target: "_blank", rel: "noopener" }) : null;

/** Airflow's frame lets nothing inside it open a tab or leave: let a link of the page around it do so. */
export function leaveTheFrame() {
  for (const anchor of document.querySelectorAll("[data-airflow]")) {
    anchor.href = airflow(anchor.dataset.airflow);
    anchor.target = "_top";
  }
  if (window.parent === window) return;
  const leave = (event) => {
    const anchor = event.target.closest?.("a[target]");
    if (!anchor || event.defaultPrevented) return;
    let door;
    try {
      door = window.parent.document.createElement("a");
    } catch {
      return; // framed by a stranger
    }
    event.preventDefault();
    const elsewhere = anchor.target === "_blank" || event.ctrlKey || event.metaKey || event.button === 1;
    Object.assign(door, { href: anchor.href, target: elsewhere ? "_blank" : "_self", rel: "noopener" });
    door.click();
  };
  addEventListener("click", leave);
  addEventListener("auxclick", (event) => event.button === 1 && leave(event));
}

/** Let the address of the page around the frame name what is shown here, so that it can be sent and reloaded. */
export function nameOutside() {
  try {
    const outside = window.parent.location;
    if (window.parent === window || outside.origin !== location.origin || outside.hash === location.hash) return;
    window.parent.history.replaceState(window.parent.history.state, "", `${outside.pathname}${outside.search}${location.hash}`);
  } catch { /* framed by a stranger */ }
}

/** Ask Airflow's API. What it refuses throws an error with its ``status`` and ``detail``; status 0 means that it did not answer. */
export async function airflowApi(path, method = "GET", body = undefined) {
  let answer;
  try {
    answer = await fetch(airflow(`api/v2/${path}`), {
      method, credentials: "same-origin", ...(body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
  } catch {
    throw Object.assign(new Error("no answer"), { status: 0, detail: "" });
  }
  const facts = await answer.json().catch(() => null);
  if (answer.ok) return facts;
  throw Object.assign(new Error(`Airflow answered ${answer.status}`), { status: answer.status, detail: detailOf(facts) });
}

function detailOf(facts) {
  const detail = facts?.detail;
  if (Array.isArray(detail)) return detail.map(({ msg, loc }) => `${(loc ?? []).at(-1) ?? ""}: ${msg ?? ""}`).join("; ");
  return typeof detail === "string" ? detail : detail ? JSON.stringify(detail) : "";
}

/** Find the run of a Dag for a day, the newest first; null if there is none. */
export async function runOf(verb, day, of) {
  const { dag_runs: runs } = await airflowApi(`${dagPath(verb, of)}/dagRuns?partition_key_prefix_pattern=${encodeURIComponent(day)}&limit=${AT_ONCE}&order_by=-run_after`);
  return runs.find((run) => run.partition_key?.slice(0, 10) === day)?.dag_run_id ?? null;
}

/** Let a run do all of its work again, by the rights of whoever looks. */
export const clearRun = (verb, run, of) =>
  airflowApi(`${dagPath(verb, of)}/clearTaskInstances`, "POST", { dag_run_id: run, dry_run: false, only_failed: false, reset_dag_runs: true });

export const waitingFor = () => airflowApi(`dags/~/dagRuns/~/hitlDetails?response_received=false&limit=${AT_ONCE}`).then((answer) => answer.hitl_details);
const modelOf = (dag) => dag.slice(0, dag.lastIndexOf("."));

/** Ask Airflow about the model that is shown: what runs, what is expected next, who is waited for. What it does not tell stays out. */
export async function running() {
  const whose = current(), dags = DAGS.map((verb) => dagPath(verb));
  const answers = await Promise.allSettled([
    ...dags.map((dag) => airflowApi(`${dag}/dagRuns?limit=5&order_by=-run_after&state=running&state=queued`)),
    ...dags.map((dag) => airflowApi(dag)),
    ...dags.map((dag) => airflowApi(`${dag}/dagRuns?limit=1&order_by=-run_after&state=success&state=failed`)),
    waitingFor(),
  ]);
  const value = (at) => (answers[at].status === "fulfilled" ? answers[at].value : null);
  const runs = DAGS.flatMap((dag, at) => (value(at)?.dag_runs ?? []).map((run) => ({ dag, ...run })));
  const known = DAGS.map((dag, at) => (value(DAGS.length + at) ? { dag, ...value(DAGS.length + at) } : null)).filter(Boolean);
  const failed = DAGS.flatMap((dag, at) => (value(2 * DAGS.length + at)?.dag_runs ?? [])
    .filter(({ state }) => state === "failed").map((run) => ({ dag, ...run })));
  const waiting = value(3 * DAGS.length)?.filter((one) => modelOf(one.task_instance.dag_id) === whose) ?? null;
  return { runs, known, failed, waiting, silent: answers.every(({ status }) => status === "rejected") };
}

async function everyIngest() {
  const dags = [];
  for (let total = 1; dags.length < total;) {
    const page = await airflowApi(`dags?tags=evergreen&dag_id_pattern=${encodeURIComponent("%.ingest")}&order_by=dag_id&limit=${AT_ONCE}&offset=${dags.length}`);
    if (!page.dags.length) break;
    dags.push(...page.dags);
    total = page.total_entries;
  }
  return dags;
}

/** Ask Airflow about all models: by name, when Ingest runs next or that it is paused, what runs, how many people are waited for. */
export async function everyModel() {
  const [ingests, runs, waiting] = (await Promise.allSettled([
    everyIngest(),
    airflowApi(`dags/~/dagRuns?state=running&state=queued&order_by=-run_after&limit=${AT_ONCE}`),
    waitingFor(),
  ])).map((one) => (one.status === "fulfilled" ? one.value : null));
  const models = new Map();
  const of = (dag) => {
    const name = modelOf(dag);
    if (!models.has(name)) models.set(name, { next: null, paused: false, running: [], waiting: 0 });
    return models.get(name);
  };
  for (const dag of ingests ?? []) Object.assign(of(dag.dag_id), { next: dag.next_dagrun_run_after, paused: dag.is_paused });
  for (const { dag_id: dag } of runs?.dag_runs ?? []) {
    const { running: verbs } = of(dag), verb = dag.slice(dag.lastIndexOf(".") + 1);
    if (!verbs.includes(verb)) verbs.push(verb);
  }
  for (const { task_instance: { dag_id: dag } } of waiting ?? []) of(dag).waiting += 1;
  return { models, waiting };
}

/** Give Airflow's own page of a question. */
export const answerHref = ({ task_instance: { dag_id: dag, dag_run_id: run, task_id: task } }) =>
  airflow(`${pathOf(dag)}/runs/${encodeURIComponent(run)}/tasks/${task}/required_actions`);

export function runsInWords({ runs, known, failed, waiting, silent }) {
  if (silent) return [el("p", { class: "quiet" }, "Airflow did not say what runs.")];
  const questions = (waiting ?? []).map((question) =>
    el("li", null, "waits for a person: ", link(answerHref(question), question.subject, { target: "_top" })));
  const lines = runs.map((run) => el("li", null,
    runLink(run.dag, run.dag_run_id, run.dag),
    ` ${run.state}${run.start_date ? ` since ${instant(run.start_date)}` : ""}`));
  const red = (failed ?? []).map((run) => el("p", { class: "problem" },
    `The newest run of ${run.dag} failed${run.partition_key ? ` (${run.partition_key})` : ""}: `,
    runLink(run.dag, run.dag_run_id),
    run.note ? ` ${run.note}` : ""));
  const paused = known.filter(({ is_paused: isPaused }) => isPaused).map(({ dag }) => dag);
  const expected = known.filter((one) => one.next_dagrun_run_after && !one.is_paused)
    .map((one) => el("li", null, `${one.dag} is expected at ${instant(one.next_dagrun_run_after)} UTC`));
  return [
    ...red,
    questions.length > 0 && el("ul", { class: "waiting-list" }, questions),
    lines.length ? el("ul", null, lines) : el("p", null, "Nothing runs at the moment."),
    expected.length > 0 && el("ul", null, expected),
    paused.length > 0 && !document.querySelector("#runs[data-starting]") && el("p", { class: "problem" }, `Paused in Airflow: ${paused.join(", ")}.`),
  ];
}

/** Show how many questions wait: on a model as a button for whoever may answer, on the list as a link to Airflow's own. */
export function showWaiting(waiting, mayAnswer = false) {
  const count = waiting?.length ?? 0, anchor = document.getElementById("approve"), answer = document.getElementById("answer");
  anchor.hidden = Boolean(current());
  answer.hidden = !current() || !mayAnswer || !count;
  const button = current() ? answer : anchor;
  button.textContent = count ? `Approve (${count})` : "Approve";
  button.classList.toggle("loud", count > 0);
  button.title = count ? `${plural(count, "question")} wait${count === 1 ? "s" : ""} for a person` : "Nothing waits for a person";
}
