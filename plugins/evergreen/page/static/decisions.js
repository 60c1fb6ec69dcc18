// Every decision with its verdict, and one of them rule by rule.

import { actionButton } from "./actions.js";
import { inModel, part } from "./address.js";
import { mlflowRun } from "./airflow.js";
import { anything, ask, badge, decisionLink, el, empty, facts, file, fold, instant, kindInWords, link, plural, problems, sentences, table, versionLink } from "./dom.js";
import { links } from "./now.js";
import { versionCharts } from "./version_charts.js";

const OUTCOMES = { passed: "passed", failed: "failed", "no evidence": "no evidence" };

export function drawDecisions({ decisions, next, kinds, hint }) {
  if (!decisions.length) return [empty(hint, "No decision was made yet.")];
  const choice = el("select", { id: "kind" }, el("option", { value: "" }, "all kinds"), kinds.map((kind) => el("option", { value: kind }, kindInWords(kind))));
  const place = el("div");
  const fill = (shown, at) => place.replaceChildren(
    decisionTable(shown), ...(at ? [moreButton("Show older decisions", () => read(choice.value, at), (page) => fill([...shown, ...page.decisions], page.next))] : []));
  choice.addEventListener("change", async () => {
    const kind = choice.value;
    try {
      const page = await read(kind);
      if (kind !== choice.value) return;
      if (page.decisions.length) fill(page.decisions, page.next);
      else place.replaceChildren(empty(page.hint, "There is no decision of this kind."));
    } catch (problem) {
      place.replaceChildren(...problems([problem.message]));
    }
  });
  fill(decisions, next);
  return [el("p", null, el("label", { for: "kind" }, "Show "), choice), place];
}

function read(kind, before) {
  const wanted = new URLSearchParams({ ...(kind && { kind }), ...(before && { before }) }).toString();
  return ask(inModel(`decisions${wanted && `?${wanted}`}`));
}

/** A button that reads more of a list and then gives way to it; what goes wrong is written beside it. */
export function moreButton(text, give, show) {
  const button = el("button", { type: "button" }, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      show(await give());
    } catch (problem) {
      button.after(...problems([problem.message]));
      button.disabled = false;
    }
  });
  return button;
}

export function decisionTable(decisions) {
  return table("Decisions, newest first", ["decided", "what", "version", "against", "reason", "requested by", "rules"], decisions.map((decision) => [
    [decisionLink(decision.decision_id, instant(decision.decided_at)), decision.replayed && el("div", { class: "quiet" }, `for ${decision.day}`)], [badge(decision.kind), decision.replayed && [" ", badge("replayed")]],
    versionLink(decision.version, decision.version), decision.against === null && decision.kind !== "promotion" ? "" : versionLink(decision.against, decision.against),
    el("div", { class: "reason" }, sentences(measured(decision))), [decision.requested_by ?? "", decision.approval ? `; ${decision.approval}` : "", decision.because && el("div", { class: "quiet" }, sentences([decision.because]))],
    rules(decision.rules)]), { class: "wide" });
}

/** What speaks for a decision besides a person's answer, which has its own cell; that answer where there is no more. */
function measured({ reasons, approval }) {
  const others = (reasons ?? []).filter((reason) => reason !== approval);
  return others.length ? others : reasons;
}

function rules(counts) {
  if (!counts) return "";
  return [counts.passed && `${counts.passed} passed`, counts.failed && `${counts.failed} failed`, counts.missing && `${counts.missing} without evidence`].filter(Boolean).join(", ");
}

/** All figures of a ruling in one list: the comparison and the slices first, thresholds last. */
function figures({ comparison, slices, evidence }) {
  return { ...comparison, ...slices?.values, ...evidence };
}

/** The figures of a ruling; behind a line where it passed, since its sentence has what matters. */
function evidence(ruling) {
  const all = figures(ruling), count = Object.keys(all).length;
  return count ? el("details", { open: ruling.outcome !== "passed" }, el("summary", null, plural(count, "figure")), anything(all)) : "none";
}

export function rulingTable(rulings) {
  return table("The gate, rule by rule", ["rule", "outcome", "what was found", "evidence"], rulings.map((ruling) => [
    kindInWords(ruling.rule), badge(OUTCOMES[ruling.outcome] ?? "no evidence"), ruling.reason, evidence(ruling)]), { class: "wide" });
}

export function drawDecision(decision) {
  const { requested_because: because, ...others } = decision.facts ?? {};
  const known = Object.keys(others).length, more = Object.keys(decision.evidence ?? {}).length;
  const found = new Set((decision.rulings ?? []).filter(({ outcome }) => outcome === "passed").map(({ reason }) => reason));
  const own = (decision.reasons ?? []).filter((reason) => !found.has(reason)); // what passed stands below, rule by rule
  return [
    el("p", null, badge(decision.kind), decision.replayed && [" ", badge("replayed"), " a replay decided it, on a day that was past"], decision.verdict && [" the gate said ", badge(decision.verdict)]),
    own.length > 0 && el("ul", null, own.map((reason) => el("li", null, reason))),
    decision.next_challenger && el("p", { class: "next-challenger" }, `${decision.next_challenger}.`),
    facts([
      ["decided", instant(decision.decided_at)], ["for the day", decision.day], ["in force from", decision.in_force_from],
      ["requested by", decision.requested_by], ["because", sentences([because ?? []].flat())], ["approval", decision.approval],
      ["version", decision.version ? versionLink(decision.version) : null], ["against", decision.against ? versionLink(decision.against) : null],
    ]),
    decision.comments?.length > 0 && [el("h3", null, "Comments"), el("ul", { class: "plain" }, decision.comments.map((one) =>
      el("li", null, el("strong", null, one.requested_by), ` on ${instant(one.decided_at)}: ${one.note}`)))],
    links(file(decision.card, "model card"), file(decision.report, "report"), mlflowRun(decision.run_id, "model's run in MLflow"),
      mlflowRun(decision.decision_id, "decision in MLflow"),
      decision.version && decision.against && link(part(`versions/${decision.version}/${decision.against}`), "compare the two"),
      actionButton("note", "Comment…", { kind: "comment", decision: decision.decision_id })),
    decision.rulings?.length > 0 && decision.version && [el("h3", null, "Charts"), versionCharts(decision.version, "Gain by day")],
    decision.rulings?.length > 0 && [el("h3", null, "Rule by rule"), rulingTable(decision.rulings)],
    more > 0 && [el("h3", null, "Evidence"), anything(decision.evidence)],
    known > 0 && fold("The decision's facts, as they are kept", anything(others)),
  ];
}
