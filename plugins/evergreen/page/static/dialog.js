// A dialog that asks for something, does it, and says what came of it. What is written is kept until it is done.

import { el, kindInWords } from "./dom.js";

let last = 0;

/**
 * Open a dialog.
 *
 * ``content`` are nodes above the fields; ``inputs`` come from `inputsOf`; ``buttons`` are ``{text, loud, act}``, and ``act``
 * gives the nodes that take the place of the form once it is done, or throws an error with a sentence; ``second`` is another
 * way, as a link.
 */
export function openDialog({ title, content = [], inputs = null, buttons, second = null, kept = () => {} }) {
  const id = `dialog-${(last += 1)}`, opener = document.activeElement;
  const heading = el("h2", { id, tabindex: -1, autofocus: !inputs }, title);
  const close = el("button", { type: "button", class: "plain", "aria-label": "Close", title: "Close" }, "×");
  const problem = el("div", { role: "alert" });
  const press = buttons.map(({ text, loud }) => el("button", { type: loud ? "submit" : "button", class: loud ? "loud" : null }, text));
  const form = el("form", { novalidate: true }, content, inputs?.nodes ?? [], problem, el("div", { class: "dialog-buttons" }, press, second));
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": id }, el("div", { class: "panel-head" }, heading, close), form);
  let busy = false, done = null;

  async function act(one) {
    if (busy || (inputs && !inputs.check())) return;
    busy = true;
    for (const button of press) button.setAttribute("aria-disabled", "true");
    problem.replaceChildren();
    try {
      done = await one.act(inputs?.read() ?? {});
      if (!dialog.isConnected) return kept(done); // closed before Airflow answered
      const leave = el("button", { type: "button" }, "Close");
      leave.addEventListener("click", () => dialog.close());
      form.replaceWith(done, el("p", { class: "quiet" }, "You may close this: what was started goes on, and the page says how it ends."), el("div", { class: "dialog-buttons" }, leave));
      heading.focus();
    } catch (err) {
      if (err.name !== "Error") console.error(err);
      if (!dialog.isConnected) return kept(el("p", { class: "problem", role: "alert" }, el("strong", null, `${title}: `), err.message));
      problem.replaceChildren(el("p", { class: "problem" }, err.message));
      for (const button of press) button.removeAttribute("aria-disabled");
      busy = false;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(buttons.find(({ loud }) => loud));
  });
  buttons.forEach((one, at) => !one.loud && press[at].addEventListener("click", () => act(one)));
  close.addEventListener("click", () => dialog.close());
  const away = () => dialog.close(); // a link in it leads to another part of the page
  addEventListener("hashchange", away);
  dialog.addEventListener("close", () => {
    removeEventListener("hashchange", away);
    dialog.remove();
    if (done) kept(done);
    (opener?.isConnected && opener !== document.body ? opener : document.getElementById("main")).focus();
  });
  dialog.querySelector(".field:not([hidden]) :is(input, textarea, select)")?.setAttribute("autofocus", "");
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Build labelled inputs out of a form's fields. Those of a section but the first are behind a line that opens it. */
export function inputsOf(fields, given = {}) {
  const all = new Map(fields.map((field) => [field.name, inputOf(field, given[field.name] ?? field.default)]));
  const sections = Map.groupBy(fields, ({ section }) => section);
  const nodes = [...sections].map(([section, own]) => {
    const rows = own.map(({ name }) => all.get(name).row);
    return section ? el("details", null, el("summary", null, section), rows) : rows;
  });
  return {
    nodes, row: (name) => all.get(name)?.row, input: (name) => all.get(name)?.input,
    read: () => Object.fromEntries([...all].filter(([, { row }]) => !row.hidden).map(([name, one]) => [name, one.read()])),
    check: () => [...all.values()].filter(({ row }) => !row.hidden).every((one) => one.check()),
  };
}

function inputOf({ name, title, description, kind, required, least, options, labels }, value) {
  const id = `field-${name}`, about = description ? `${id}-about` : null;
  const attributes = { id, name, required, "aria-describedby": about };
  const input = kind === "words" ? el("textarea", { ...attributes, rows: 2 }, value ?? "")
    : kind === "choice" ? el("select", attributes, options.map((one, at) => el("option", { value: one ?? "", selected: one === value }, labels?.[at] ?? (one === null ? "–" : kindInWords(one)))))
    : el("input", { ...attributes, type: { number: "number", date: "date", switch: "checkbox" }[kind] ?? "text", min: least, checked: kind === "switch" && value === true, value: kind === "switch" ? null : value });
  const label = el("label", { for: id }, title, !required && kind !== "switch" && kind !== "choice" && el("span", { class: "quiet" }, " (may be empty)"));
  const row = el("div", { class: kind === "switch" ? "field check" : "field" }, kind === "switch" ? [input, label] : [label, input], about && el("p", { id: about, class: "quiet" }, description));
  input.addEventListener("input", () => input.setCustomValidity(""));
  const read = () => {
    if (kind === "switch") return input.checked;
    const text = input.value.trim();
    if (!text) return null;
    return kind === "number" || (kind === "choice" && typeof options.find((one) => one !== null) === "number") ? Number(text) : text;
  };
  const check = () => {
    const tooShort = kind === "words" && required && input.value.trim().length < 3;
    input.setCustomValidity(tooShort ? "Write at least three letters." : "");
    if (!input.checkValidity()) input.closest("details")?.setAttribute("open", "");
    return input.reportValidity();
  };
  return { row, input, read, check };
}
