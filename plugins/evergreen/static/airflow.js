// The way out of the frame that Airflow puts this page in, and what Airflow itself knows: runs and waiting people.

import { ask, el, instant, link, plural } from "./dom.js";

const ROOT = new URL("../", document.baseURI);
const DAGS = ["ingest", "score", "monitor", "retrain", "rollback"];

export const airflow = (path) => new URL(path, ROOT).href;
export const runLink = (dag, run, text) =>
  run ? link(airflow(`dags/${dag}/runs/${encodeURIComponent(run)}`), text ?? "run in Airflow", { target: "_top" }) : null;

let mlflow = null;
/** Settles when it is known where MLflow's pages are, if it has any. */
export const placed = ask("places").then(
  (places) => { mlflow = /^https?:/.test(places.mlflow ?? "") ? places.mlflow : null; }, () => null);
export const mlflowRun = (run, text) =>
  mlflow && run ? link(`${mlflow}/#/runs/${encodeURIComponent(run)}`, text ?? "run in MLflow", { target: "_blank", rel: "noopener" }) : null;
export const mlflowVersion = (model, version) =>
  mlflow && version ? link(`${mlflow}/#/models/${encodeURIComponent(model)}/versions/${version}`, "in MLflow", { target: "_blank", rel: "noopener" }) : null;

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

async function api(path) {
  const answer = await fetch(airflow(`api/v2/${path}`), { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`Airflow answered ${answer.status}`);
  return answer.json();
}

/** Ask Airflow what runs now, what is expected next and who is waited for; what it does not tell stays out. */
export async function running() {
  const told = await Promise.allSettled([
    ...DAGS.map((dag) => api(`dags/${dag}/dagRuns?limit=5&order_by=-run_after&state=running&state=queued`)),
    ...DAGS.map((dag) => api(`dags/${dag}`)),
    api("dags/~/dagRuns/~/hitlDetails?response_received=false&limit=20"),
  ]);
  const value = (at) => (told[at].status === "fulfilled" ? told[at].value : null);
  const runs = DAGS.flatMap((dag, at) => (value(at)?.dag_runs ?? []).map((run) => ({ dag, ...run })));
  const known = DAGS.map((_, at) => value(DAGS.length + at)).filter(Boolean);
  const waiting = value(2 * DAGS.length)?.hitl_details ?? null;
  return { runs, known, waiting, silent: told.every(({ status }) => status === "rejected") };
}

export function runsInWords({ runs, known, waiting, silent }) {
  if (silent) return [el("p", { class: "quiet" }, "Airflow did not say what runs.")];
  const questions = (waiting ?? []).map(({ subject, task_instance: { dag_id: dag, dag_run_id: run, task_id: task } }) =>
    el("li", null, "a person is waited for: ",
      link(airflow(`dags/${dag}/runs/${encodeURIComponent(run)}/tasks/${task}/required_actions`), subject, { target: "_top" })));
  const lines = runs.map((run) => el("li", null,
    link(airflow(`dags/${run.dag}/runs/${encodeURIComponent(run.dag_run_id)}`), run.dag, { target: "_top" }),
    ` ${run.state}${run.start_date ? ` since ${instant(run.start_date)}` : ""}`));
  const paused = known.filter((dag) => dag.is_paused).map((dag) => dag.dag_id);
  const expected = known.filter((dag) => dag.next_dagrun_run_after && !dag.is_paused)
    .map((dag) => el("li", null, `${dag.dag_id} is expected at ${instant(dag.next_dagrun_run_after)}`));
  return [
    questions.length > 0 && el("ul", { class: "waiting-list" }, questions),
    lines.length ? el("ul", null, lines) : el("p", null, "Nothing runs at the moment."),
    expected.length > 0 && el("ul", null, expected),
    paused.length > 0 && el("p", { class: "problem" }, `Paused in Airflow: ${paused.join(", ")}.`),
  ];
}

export function showWaiting(waiting) {
  const button = document.getElementById("approve");
  const count = waiting?.length ?? 0;
  button.textContent = count ? `Approve (${count})` : "Approve";
  button.classList.toggle("loud", count > 0);
  button.title = count ? `${plural(count, "question")} wait${count === 1 ? "s" : ""} for a person` : "Nothing waits for a person";
}
