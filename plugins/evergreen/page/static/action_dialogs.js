// The dialogs: train a challenger, roll back, write a note. Each starts a run of a Dag, whose own form is the other way.

import { formOf, keepStarted } from "./actions.js";
import { dagId, inModel } from "./address.js";
import { airflow, airflowApi, clearRun, dagPath, runLink, runOf } from "./airflow.js";
import { answer } from "./answer_dialog.js";
import { ask, decisionLink, el, instant, kindInWords, link } from "./dom.js";
import { inputsOf, openDialog } from "./dialog.js";
import { followed, refusal, runId, trigger } from "./runs.js";

const APPLIES = { alarm: ["acknowledgement", "snooze"], until: ["snooze"], decision: ["comment"] };
const DAYS_SNOOZED = 3;
const dayIn = (days) => new Date(Date.now() + days * 86400000).toISOString().slice(0, 10);

/** Open a dialog that triggers a Dag with what is filled in. */
function triggering({ verb, title, button, what, about, content = [], inputs, conf = (values) => values }) {
  const run = runId(), dag = dagId(verb), paused = el("div");
  airflowApi(dagPath(verb)).then(({ is_paused: isPaused }) => isPaused && paused.replaceChildren(el("p", { class: "hint" },
    link(airflow(dagPath(verb)), `${dag} is paused in Airflow`, { target: "_top" }), ": what you start here waits until somebody switches it on."))).catch(() => {});
  return openDialog({
    title, inputs, content: [content, paused], kept: keepStarted,
    second: link(airflow(dagPath(verb)), "Airflow's own form", { target: "_top", title: "Opens the Dag in Airflow; its form is behind Trigger" }),
    buttons: [{
      text: button, loud: true,
      act: async (values) => {
        try {
          await trigger(dag, run, conf(values));
        } catch (err) {
          throw err.status === undefined ? err : new Error(refusal(err, what, dag));
        }
        return followed(dag, run, about(values));
      },
    }],
  });
}

function retrain() {
  return triggering({
    verb: "retrain", title: "Train a challenger", button: "Train", what: "train a challenger",
    about: ({ reason }) => `Training a challenger: ${reason}.`,
    content: el("p", { class: "quiet" }, "A challenger is trained and judged by the gate. It serves only if every rule passes; else the champion stays."),
    inputs: inputsOf(formOf("retrain")),
  });
}

async function rollback() {
  const targets = await ask(inModel("rollback-targets")).catch(({ message }) => ({ message, versions: [] }));
  const named = ({ version, since }) => `version ${version}${since ? `, which served from ${since}` : ""}`;
  const fields = formOf("rollback").map((field) => (field.name !== "to_version" || targets.message ? field : {
    ...field, kind: "choice", description: "Only a version that was champion can come back.",
    options: [null, ...targets.versions.map(({ version }) => version)],
    labels: [targets.default ? `the one that served before (version ${targets.default})` : "the one that served before", ...targets.versions.map(named)],
  }));
  const inputs = inputsOf(fields), would = el("p", { role: "status" }), chosen = () => inputs.read().to_version ?? targets.default;
  const tell = () => would.replaceChildren(...consequence(targets, chosen()));
  inputs.input("to_version").addEventListener("change", tell);
  tell();
  return triggering({
    verb: "rollback", title: "Roll back", button: "Roll back", what: "roll back",
    about: () => (chosen() ? `Rolling back to version ${chosen()}.` : "Rolling back."), content: would, inputs,
  });
}

function consequence({ message, champion, versions }, to) {
  if (message) return [el("span", { class: "problem" }, message)];
  if (!champion && !versions.length) return ["Nothing serves yet, and nothing served before: there is nothing to roll back to."];
  if (!to) return [`Version ${champion} serves, and no earlier champion is left to return to. A challenger that passes the gate can take its place.`];
  return [el("strong", null, `Version ${to} would serve`), champion ? ` instead of version ${champion}, which cannot be promoted again from the same data, parameters and code. ` : ". ", "Predictions that were served stay as they are."];
}

async function note(given) {
  const alarms = given.kind || given.decision ? [] : await ask(inModel("now")).then((facts) => facts.episodes ?? []).catch(() => [null]);
  const decisions = given.kind || given.decision ? [] : await ask(inModel("decisions")).then((facts) => facts.decisions.slice(0, 20)).catch(() => []);
  const named = ({ kind, decided_at: at, version }) => `${instant(at)} ${kindInWords(kind)}${version ? `, version ${version}` : ""}`;
  const changes = {
    kind: { labels: ["say that you know of the alarm", "keep the alarm's mails back", "comment on a decision"] },
    alarm: { labels: ["the one that stands", "drift", "decay"], description: "" }, until: { required: true },
    decision: decisions.length ? { kind: "choice", required: true, options: decisions.map((one) => one.decision_id), labels: decisions.map(named), description: "" } : { required: true },
  };
  const fields = formOf("note").map((field) => ({ ...field, ...changes[field.name], section: "" }));
  const inputs = inputsOf(fields, { ...(!alarms.length && decisions.length && { kind: "comment" }), until: dayIn(DAYS_SNOOZED), decision: decisions[0]?.decision_id, ...given }), kind = inputs.input("kind");
  const settle = () => {
    for (const [name, kinds] of Object.entries(APPLIES)) inputs.row(name).hidden = !kinds.includes(kind.value);
    for (const name of ["kind", "alarm", "decision"]) inputs.row(name).hidden ||= name in given;
  };
  kind.addEventListener("change", settle);
  settle();
  const title = { acknowledgement: "Say that you know of the alarm", snooze: "Keep the alarm's mails back", comment: "Comment on a decision" }[given.kind] ?? "Write a note";
  const on = given.decision ? el("p", null, "On ", decisionLink(given.decision, "this decision"), ".") : given.subject && el("p", null, el("strong", null, given.subject));
  const { subject: _, ...set } = given;
  return triggering({
    verb: "note", title, button: "Write it down", what: "write a note", content: on || [], inputs,
    about: ({ note: text }) => `Writing the note: ${text}`, conf: (values) => ({ ...values, ...set }),
  });
}

/** Mark days as not to be learned from, or, with ``undo``, let them count again. */
function exclude(given) {
  const undo = given.undo === true;
  const fields = formOf("exclude").filter(({ name }) => name !== "undo");
  return triggering({
    verb: "exclude", title: undo ? "Let days count again" : "Exclude days from learning", button: undo ? "Let them count again" : "Exclude", what: "exclude days",
    about: ({ first_day: first, last_day: last }) => `${undo ? "Letting" : "Excluding"} ${last && last !== first ? `${first} to ${last}` : first}${undo ? " count again" : ""}.`,
    content: el("p", { class: "quiet" }, undo ? "From the next training on these days teach again." : "From the next training on, training, holdout, drift and live performance leave these days out. They stay in the data registry, are scored and shown, and it can be undone."),
    inputs: inputsOf(fields, { first_day: dayIn(-1), ...given }), conf: (values) => ({ ...values, undo }),
  });
}

/** Let Ingest bring a day again: the run of that day from its beginning, or a new one where there is none. */
async function ingestAgain({ day, what }) {
  const dag = dagId("ingest"), fresh = runId(), known = await runOf("ingest", day).catch(() => null);
  return openDialog({
    title: `Bring ${day} again`, kept: keepStarted,
    content: [
      what && el("p", null, el("strong", null, what)),
      el("p", null, `Ingest reads ${day} from its source once more and validates it again. Fix the source first: the same rows are rejected again.`),
      el("p", { class: "quiet" }, "What passes becomes a new data version, and Score and Monitor follow by themselves."),
    ],
    second: known ? runLink("ingest", known, "the day's run in Airflow") : link(airflow(dagPath("ingest")), "Ingest in Airflow", { target: "_top" }),
    buttons: [{
      text: `Bring ${day} again`, loud: true,
      act: async () => {
        try {
          if (!known) await trigger(dag, fresh, {}, { partition_key: day });
          else await clearRun("ingest", known);
        } catch (err) {
          throw err.status === undefined ? err : new Error(refusal(err, `run ${dag} again`, dag));
        }
        return followed(dag, known ?? fresh, `Bringing ${day} again.`);
      },
    }],
  });
}

export const DIALOGS = { retrain, rollback, note, answer, exclude, ingest_again: ingestAgain };
