// What whoever looks may do, by Airflow's own rights; each button opens its dialog, whose code comes with the first click.

import { current, inModel } from "./address.js";
import { ask, el } from "./dom.js";
import { forget } from "./runs.js";

let may = {}, forms = {}, whose = null;

/** Find what may be done with the model that is shown; settles when that is known. Nothing is offered before. */
export async function findActions() {
  const asked = current();
  if (whose !== asked) [may, forms, whose] = [{}, {}, asked];
  const known = await ask(inModel("actions")).catch(() => null);
  if (!known || asked !== current()) return;
  [may, forms] = [known.may, known.forms];
  for (const button of document.querySelectorAll("#actions [data-act]")) button.hidden = !allowed(button.dataset.act);
}

export const allowed = (name) => may[name] === true;
export const formOf = (name) => forms[name] ?? [];

/** Give a button that opens the dialog of an action; nothing for whoever may not do it. */
export function actionButton(name, text, given = {}, attributes = {}) {
  if (!allowed(name)) return null;
  const button = el("button", { type: "button", ...attributes }, text);
  button.addEventListener("click", () => open(name, given));
  return button;
}

export async function open(name, given = {}) {
  const dialogs = await import("./action_dialogs.js");
  return dialogs.DIALOGS[name](given);
}

/** Let the buttons of the page's head open their dialogs. */
export function wireHead() {
  for (const button of document.querySelectorAll("#actions [data-act]")) button.addEventListener("click", () => open(button.dataset.act));
  document.getElementById("answer").addEventListener("click", () => open("answer"));
}

/** Keep what a dialog has started on the page, after the dialog is closed, until it is dismissed. */
export function keepStarted(node) {
  const place = document.getElementById("started"), hide = el("button", { type: "button", class: "plain" }, "Hide");
  const row = el("div", { class: "hint" }, node, hide);
  hide.addEventListener("click", () => {
    if (node.dataset.run) forget(node.dataset.run);
    row.remove();
    document.getElementById("main").focus();
  });
  place.prepend(row);
}
