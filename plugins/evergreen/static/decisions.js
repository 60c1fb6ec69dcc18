// Every decision with its verdict, and one of them rule by rule.

import { mlflowRun } from "./airflow.js";
import { anything, badge, decisionLink, el, empty, facts, file, instant, kindInWords, link, number, sentences, table, versionLink } from "./dom.js";
import { links } from "./now.js";

const AT_ONCE = 100;
const OUTCOMES = { passed: "passed", failed: "failed", "no evidence": "no evidence" };

export function drawDecisions({ decisions, hint }) {
  if (!decisions.length) return [empty(hint, "No decision was made yet.")];
  const kinds = [...new Set(decisions.map((decision) => decision.kind))].sort();
  const choice = el("select", { id: "kind" }, el("option", { value: "" }, "all kinds"), kinds.map((kind) => el("option", { value: kind }, kindInWords(kind))));
  const place = el("div");
  const fill = (most) => {
    const chosen = decisions.filter((decision) => !choice.value || decision.kind === choice.value);
    const more = el("button", { type: "button" }, `Show all ${number(chosen.length)}`);
    more.addEventListener("click", () => fill(Infinity));
    place.replaceChildren(decisionTable(chosen.slice(0, most)), ...(chosen.length > most ? [more] : []));
  };
  choice.addEventListener("change", () => fill(AT_ONCE));
  fill(AT_ONCE);
  return [el("p", null, el("label", { for: "kind" }, "Show "), choice), place];
}

export function decisionTable(decisions) {
  return table("Decisions, newest first", ["decided", "what", "version", "against", "why", "asked by", "rules"], decisions.map((decision) => [
    decisionLink(decision.decision_id, instant(decision.decided_at)), badge(decision.kind),
    versionLink(decision.version, decision.version), versionLink(decision.against, decision.against),
    el("div", { class: "why" }, sentences(decision.reasons)), [decision.asked_by ?? "", decision.approval ? `; ${decision.approval}` : ""],
    rules(decision.rules)]), { class: "wide" });
}

function rules(counts) {
  if (!counts) return "";
  return [counts.passed && `${counts.passed} passed`, counts.failed && `${counts.failed} failed`, counts.missing && `${counts.missing} without evidence`].filter(Boolean).join(", ");
}

export function rulingTable(rulings) {
  return table("The gate, rule by rule", ["rule", "outcome", "what was found", "evidence"], rulings.map((ruling) => [
    kindInWords(ruling.rule), badge(OUTCOMES[ruling.outcome] ?? "no evidence"), ruling.reason,
    Object.keys(ruling.evidence ?? {}).length ? anything(ruling.evidence) : "none"]), { class: "wide" });
}

export function drawDecision(decision) {
  const { asked_because: because, ...others } = decision.facts ?? {};
  const known = Object.keys(others).length, more = Object.keys(decision.evidence ?? {}).length;
  const found = new Set((decision.rulings ?? []).filter(({ outcome }) => outcome === "passed").map(({ reason }) => reason));
  const own = (decision.reasons ?? []).filter((reason) => !found.has(reason)); // what passed is told below, rule by rule
  return [
    el("p", null, badge(decision.kind), decision.verdict && [" the gate said ", badge(decision.verdict)]),
    own.length > 0 && el("ul", null, own.map((reason) => el("li", null, reason))),
    facts([
      ["decided", instant(decision.decided_at)], ["for the day", decision.day], ["in force from", decision.in_force_from],
      ["asked for by", decision.asked_by], ["because", sentences([because ?? []].flat())], ["approval", decision.approval],
      ["version", versionLink(decision.version)], ["against", decision.against ? versionLink(decision.against) : null],
    ]),
    links(file(decision.card, "model card"), file(decision.report, "report"), mlflowRun(decision.run_id, "model's run in MLflow"),
      mlflowRun(decision.decision_id, "decision in MLflow"),
      decision.version && decision.against && link(`#models/${decision.version}/${decision.against}`, "compare the two")),
    decision.rulings?.length > 0 && [el("h3", null, "Rule by rule"), rulingTable(decision.rulings)],
    known > 0 && [el("h3", null, "Facts"), anything(others)],
    more > 0 && [el("h3", null, "Evidence"), anything(decision.evidence)],
  ];
}
