// Answer what waits for a person: may a challenger serve? By Airflow's own API, with the rights of whoever answers.

import { keepStarted } from "./actions.js";
import { current, part } from "./address.js";
import { airflowApi, answerHref, waitingFor } from "./airflow.js";
import { el, link, svg, table } from "./dom.js";
import { inputsOf, openDialog } from "./dialog.js";
import { followed, refusal, runPath } from "./runs.js";

const WIDE = 320, HIGH = 50, EDGE = 12;
const WHY = { name: "comment", title: "Why", section: "", kind: "words", required: true, description: "In a sentence, for those who read the decision later: it is kept with it." };

/** Open the question of the model that waits longest. */
export async function answer() {
  const all = await waitingFor().catch(() => null);
  const [question, ...others] = (all ?? []).filter(({ task_instance: task }) => task.dag_id === `${current()}.retrain`);
  if (!question) {
    const words = all ? "Nothing waits for a person any more: somebody has answered, or the time was over." : "Airflow did not say what waits for a person: see whether its API server runs, then open this again.";
    return openDialog({ title: "Approve or reject", content: el("p", null, words), buttons: [] });
  }
  const { dag_id: dag, dag_run_id: run, task_id: task, map_index: index } = question.task_instance;
  const inRun = `${runPath(dag, run)}/taskInstances`;
  const asked = await airflowApi(`${inRun}/ask/xcomEntries/question`).then(({ value }) => (typeof value === "string" ? JSON.parse(value) : value)).catch(() => null);
  const send = async (option, values) => {
    const body = { chosen_options: [option], params_input: WHY.name in (question.params ?? {}) ? values : {} };
    try {
      await airflowApi(`${inRun}/${encodeURIComponent(task)}/${index ?? -1}/hitlDetails`, "PATCH", body);
    } catch (err) {
      if (err.status === 409) throw new Error("Somebody has answered this already. Reload the page: the decision says who, and what.");
      throw err.status === undefined ? err : new Error(refusal(err, "answer this", dag));
    }
    return followed(dag, run, option === "Approve" ? "You approved: the challenger is promoted." : "You rejected: the champion stays.");
  };
  return openDialog({
    title: question.subject, content: [evidence(asked, question), others.length > 0 && el("p", { class: "quiet" }, `${others.length} more wait after this one.`)].filter(Boolean), inputs: inputsOf([WHY]), kept: keepStarted,
    second: link(answerHref(question), "Airflow's own form", { target: "_top" }),
    buttons: [{ text: "Approve", loud: true, act: (values) => send("Approve", values) }, { text: "Reject", act: (values) => send("Reject", values) }],
  });
}

function evidence(asked, question) {
  if (!asked) return el("p", { class: "hint" }, "The evidence could not be read here; Airflow's own form has it: ", link(answerHref(question), "open it", { target: "_top" }), ".");
  return [
    asked.gain && el("p", null, el("strong", null, asked.gain)), asked.figures && intervalPicture(asked.figures),
    el("p", null, asked.claim), el("p", { class: "quiet" }, asked.trained, " ", asked.version && link(part(`versions/${asked.version}`), `version ${asked.version} with its charts`)),
    el("details", null, el("summary", null, `The ${asked.rulings.length} rules of the gate`),
      table("The gate, rule by rule", ["rule", "passed", "what was found"], asked.rulings.map(({ rule, passed, reason }) => [rule.replaceAll("_", " "), passed, reason]), { class: "small" })),
    el("p", { class: "quiet" }, `No answer within ${asked.hours} hours means no: ${asked.champion_version ? "the champion then stays" : "then nobody serves"}.`),
  ];
}

/** Draw the gain with its interval, beside no gain at all and the margin; its numbers are in the sentence above. */
function intervalPicture({ gain, low, high, margin }) {
  const known = [gain, low, high, margin, 0].filter((one) => typeof one === "number");
  const least = Math.min(...known), most = Math.max(...known), at = (value) => EDGE + ((value - least) / (most - least || 1)) * (WIDE - 2 * EDGE);
  const ends = typeof low === "number" && typeof high === "number";
  const mark = (value, kind, text, y) => [svg("line", { class: kind, x1: at(value), x2: at(value), y1: 4, y2: 23 }),
    svg("text", { class: "tick", x: Math.min(Math.max(at(value), 30), WIDE - 30), y, "text-anchor": "middle" }, text)];
  return el("div", { class: "chart interval" }, svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": "The gain with its interval, and where no gain and the margin are" },
    typeof margin === "number" && margin !== 0 && mark(margin, "expected", "margin", 47),
    mark(0, "guide", "no gain", typeof margin === "number" && Math.abs(at(margin) - at(0)) < 60 ? 34 : 47),
    ends && svg("line", { class: "live", x1: at(low), x2: at(high), y1: 14, y2: 14 }),
    svg("circle", { class: "point", cx: at(gain), cy: 14, r: 4 })));
}
