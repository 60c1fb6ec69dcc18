// Build what is shown out of text nodes only: nothing that comes from data is ever read as HTML.

import { inFiles, part } from "./address.js";

const SVG = "http://www.w3.org/2000/svg";

const WHOLE = /(\d{4}-\d{2}-\d{2}|[−+-]?\d[\d.,]* %)/, PLAIN = new Set(["option", "title", "textarea"]);

/** Keep each day and each percentage of a text in one line: browsers would break it at its hyphens, and before its sign. */
function unbroken(node, child) {
  if (typeof child !== "string" || node.namespaceURI === SVG || PLAIN.has(node.localName) || !WHOLE.test(child)) return child;
  return child.split(WHOLE).map((text, at) => {
    if (at % 2 === 0) return text;
    const whole = document.createElement("span");
    whole.className = "whole";
    whole.textContent = text;
    return whole;
  });
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  node.append(...shown.flatMap((child) => unbroken(node, child)));
  return node;
}

export const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Ask this page's own API; an answer that is none throws a sentence for people. */
export const ask = (path) => answerOf(path, {});

/** Ask this page's own API to change something; what it answers is as of `ask`. */
export const send = (path, body) => answerOf(path, { method: "POST", body: JSON.stringify(body) });

async function answerOf(path, options) {
  let answer;
  try {
    const headers = { accept: "application/json", ...(options.body && { "content-type": "application/json" }) };
    answer = await fetch(`api/${path}`, { headers, credentials: "same-origin", ...options });
  } catch {
    throw new Error("Airflow's API server did not answer: see whether it runs, then reload.");
  }
  if (answer.status === 401 || (answer.status === 403 && !options.body)) {
    throw new Error("You are no longer logged in to Airflow: log in again, then reload.");
  }
  const facts = await answer.json().catch(() => null);
  if (!answer.ok || facts === null) throw new Error(facts?.message ?? `Airflow answered ${answer.status}: see its log.`);
  return facts;
}

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "unknown";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(digits).replace("-", "−");
}

/** Write a number; a dash where there is none. */
export const orDash = (value, digits = 3) => (value === null || value === undefined ? "–" : number(value, digits));

export function interval(figure) {
  if (!figure || figure.low === null || figure.low === undefined) return "";
  return `${number(figure.low)} to ${number(figure.high)}`;
}

/** Name an interval by its level of confidence. */
export const intervalName = (confidence) => `${Number((100 * confidence).toPrecision(6))} % interval`;

export const instant = (at) => (at ? String(at).slice(0, 16).replace("T", " ") : "unknown");
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
export const kindInWords = (kind) => String(kind).replaceAll("_", " ");
const METHODS = { wasserstein: "Wasserstein distance", jensenshannon: "Jensen–Shannon distance", hellinger: "Hellinger distance" };
/** Name a drift method; one of an adopter's own keeps its name. */
export const methodInWords = (name) => METHODS[name] ?? kindInWords(name);
export const short = (id) => (id ? el("code", { title: id }, String(id).slice(0, 10)) : "unknown");

export const link = (href, text, attributes) => el("a", { href, ...attributes }, text);

/** Link to a report or another artefact; it opens in a tab of its own. */
export function file(name, text) {
  if (!name) return null;
  const href = inFiles(String(name).split("/").map(encodeURIComponent).join("/"));
  return link(href, text, { target: "_blank", rel: "noopener" });
}

export const decisionLink = (id, text) => (id ? link(part(`decisions/${encodeURIComponent(id)}`), text) : text);
export const versionLink = (version, text) =>
  version === null || version === undefined ? "none" : link(part(`versions/${version}`), text ?? `version ${version}`);

export function badge(kind, text) {
  return el("span", { class: `badge ${String(kind).replace(/[^a-z]+/g, "-")}` }, text ?? kindInWords(kind));
}

/** A list of what and what about it; pairs without a value are left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", null, known.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value))));
}

export function table(caption, heads, rows, attributes) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", attributes,
      el("caption", { class: "unseen" }, caption),
      el("thead", null, el("tr", null, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", null, rows.map((cells) => el("tr", null, cells.map((cell, at) =>
        at ? el("td", { "data-head": heads[at] }, cell) : el("th", { scope: "row" }, cell)))))));
}

/** Put content behind a line that opens it. */
export function fold(line, ...content) {
  return el("details", null, el("summary", null, line), ...content);
}

/** Give sentences in a row; of many, the first ones, and the others behind a fold. What was joined by semicolons is many. */
export function sentences(list, most = 1) {
  const all = (list ?? []).flatMap((one) => String(one).split("; "));
  if (all.length <= most + 1) return all.join("; ");
  const others = all.slice(most);
  return [all.slice(0, most).join("; "), fold(`in full (${others.length} more)`, el("ul", null, others.map((one) => el("li", null, one))))];
}

/** Show any fact that came as JSON. */
export function anything(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "number") return number(value, 4);
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== "object")) return value.map(anything).join(", ") || "none";
    return el("ul", null, value.map((item) => el("li", null, anything(item))));
  }
  if (typeof value === "object") return facts(Object.entries(value).map(([name, inner]) => [kindInWords(name), anything(inner)]));
  return String(value);
}

export const message = (problem) => (typeof problem === "string" ? problem : problem?.message ?? JSON.stringify(problem));
export const problems = (list) => (list ?? []).map((problem) => el("p", { class: "problem" }, message(problem)));

/** Say that there is nothing yet, and what to do next. */
export function empty(hint, fallback) {
  if (!hint && !fallback) return null;
  return el("p", { class: "hint" }, typeof hint === "object" && hint ? hint.message : hint ?? fallback);
}

/** Fill a section with what ``draw`` makes of an answer, or with why there is none; ``ready`` is waited for too. */
export async function show(body, path, draw, ready) {
  body.setAttribute("aria-busy", "true");
  try {
    const [answer] = await Promise.all([ask(path), ready]);
    body.replaceChildren(...[draw(answer)].flat(Infinity).filter(Boolean));
  } catch (problem) {
    body.replaceChildren(el("p", { class: "problem", role: "alert" }, problem.message));
    if (!(problem instanceof Error) || problem.name !== "Error") console.error(problem);
  } finally {
    body.removeAttribute("aria-busy");
    body.classList.remove("tall");
  }
}
