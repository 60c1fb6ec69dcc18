// Model versions: all of them, one, and two side by side.

import { inModel, part } from "./address.js";
import { mlflowRun, mlflowVersion } from "./airflow.js";
import { ask, badge, decisionLink, el, empty, facts, file, instant, kindInWords, link, number, orDash, problems, short, table, versionLink } from "./dom.js";
import { decisionTable, moreButton, rulingTable } from "./decisions.js";
import { links } from "./now.js";
import { versionCharts } from "./version_charts.js";

const span = (window) => (window ? `${window.first_day} to ${window.last_day}` : "unknown");
const served = (champion_tenures) => (champion_tenures ?? []).map(({ first_day, last_day }) => `${first_day} to ${last_day ?? "now"}`).join(", ");

export function drawVersions({ versions, next, task, hint }) {
  if (!versions.length) return [empty(hint, "No model was registered yet.")];
  const place = el("div");
  const fill = (shown, at) => place.replaceChildren(chooser(shown), versionTable(shown, task),
    ...(at ? [moreButton("Show older versions", () => ask(inModel(`versions?before=${at}`)), (page) => fill(together(shown, page.versions), page.next))] : []));
  fill(versions, next);
  return [place];
}

/** Put versions of two pages together: an older one that has an alias is on the first page already. */
function together(shown, more) {
  const all = new Map([...shown, ...more].map((version) => [version.version, version]));
  return [...all.values()].sort((one, other) => other.version - one.version);
}

function versionTable(versions, task) {
  return table("Model versions, newest first", ["version", "is", "trained on", task.metric_label, "base rate's", "served", "requested by", "created", "more"], versions.map((version) => [
    versionLink(version.version), [badge(version.outcome), (version.aliases ?? []).filter((alias) => alias !== version.outcome).map((alias) => [" ", badge("alias", kindInWords(alias))])],
    span(version.window), orDash(version.metrics?.[task.metric]), orDash(version.base_rate), served(version.champion_tenures), version.requested_by ?? "", instant(version.created_at),
    el("span", { class: "links" }, file(version.card, "card"), mlflowVersion(version.version))]), { class: "wide" });
}

/** Two choices that lead to a comparison; the champion against the newest other one to begin with. */
export function chooser(versions, chosen) {
  const champion = versions.find(({ aliases }) => aliases?.includes("champion"))?.version ?? versions[0].version;
  const other = versions.find(({ version }) => version !== champion)?.version ?? champion;
  const [a, b] = chosen ?? [champion, other];
  const choice = (name, value) => el("select", { name, "aria-label": name === "a" ? "One version" : "The other version" },
    versions.map(({ version, aliases }) => el("option", { value: version, selected: version === value }, `version ${version}${aliases?.length ? ` (${aliases.map(kindInWords).join(", ")})` : ""}`)));
  const form = el("form", { class: "chooser" }, "Compare ", choice("a", a), " with ", choice("b", b), " ", el("button", { type: "submit" }, "Side by side"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = part(`versions/${form.elements.a.value}/${form.elements.b.value}`);
  });
  return form;
}

export function drawVersion(model) {
  return [
    problems(model.problems),
    el("p", null, badge(model.outcome), (model.aliases ?? []).filter((alias) => alias !== model.outcome).map((alias) => [" ", badge("alias", kindInWords(alias))])),
    links(file(model.card, "model card"), mlflowRun(model.run_id)),
    facts([
      ["trained on", span(model.window)], ["judged after training up to", model.train_last_day],
      ["judged as", model.judged_version && model.judged_version !== model.version ? versionLink(model.judged_version) : null],
      ["fitted again as", model.refit ? versionLink(model.refit) : null],
      ["served", served(model.champion_tenures) || (model.refit ? "never: its refit does, if it was promoted" : "never")], ["requested by", model.requested_by], ["created", instant(model.created_at)],
      ["holdout", model.holdout && `${number(model.holdout.rows)} rows of ${number(model.holdout.days)} days`],
    ]),
    el("h3", null, "Charts"), versionCharts(model.version),
    model.figures?.length > 0 && [el("h3", null, "On its holdout"),
      table("Metrics on the holdout", ["metric", "this version", "champion then", "base rate", "better"], model.figures.map((figure) => [
        figure.label, orDash(figure.value, 4), orDash(figure.champion, 4), orDash(figure.base_rate, 4), figure.better]))],
    model.rulings?.length > 0 && [el("h3", null, "Rule by rule"), rulingTable(model.rulings)],
    model.slices?.length > 0 && [el("h3", null, "Slices"), model.slices.map((slice) => [el("p", null, slice.message),
      table("Slices", ["slice", kindInWords(slice.measure)], Object.entries(slice.values ?? {}).map(([name, value]) => [name, number(value, 4)]))])],
    importance(model.importance),
    model.lineage?.length > 0 && [el("h3", null, "Lineage"), facts(model.lineage.map(({ what, value }) => [what, el("span", { class: "long" }, String(value ?? "unknown"))]))],
    model.files?.length > 0 && [el("h3", null, "Files"), el("ul", null, model.files.map(({ name, file: path }) => el("li", null, file(path, name))))],
    model.decisions?.length > 0 && [el("h3", null, "Decisions about it"), decisionTable(model.decisions)],
  ];
}

/** A value of any length, in lines that are no longer than its place. */
const anyLength = (value) => el("span", { class: /\S{40}/.test(value) && "long" }, String(value ?? "unknown"));

function importance(known) {
  if (!known?.features?.length) return null;
  const most = Math.max(...known.features.map(({ increase }) => increase), 1e-12);
  return [el("h3", null, "Feature importance"), el("p", { class: "quiet" }, `By how much ${kindInWords(known.metric)} gets worse when a feature's values are shuffled.`),
    table("Importance of features", ["feature", "worse by", "share"], known.features.map(({ feature, increase, sd }) => [
      feature, `${number(increase, 4)}${sd ? ` ± ${number(sd, 4)}` : ""}`, el("meter", { min: 0, max: most, value: Math.max(increase, 0), "aria-label": feature })]))];
}

export function drawComparison({ a, b, metrics, note, paired, facts: about, importance: both, problems: wrong, same_holdout: comparable }) {
  const heads = [versionLink(a.version), versionLink(b.version)], names = [`version ${a.version}`, `version ${b.version}`];
  const best = (row, side) => [orDash(row[side], 4), comparable && row.best === side && el("span", { class: "quiet" }, " better")];
  return [
    problems(wrong),
    el("p", null, heads[0], " ", badge(a.outcome), " compared with ", heads[1], " ", badge(b.outcome)),
    paired && el("p", null, el("strong", null, `Paired, on the same days: version ${paired.version} against version ${paired.champion}, the champion of then. `), paired.sentence ?? paired.reason, ". ", decisionLink(paired.decision_id, "decision")),
    paired?.sentence && el("p", { class: "quiet" }, `By the rule: ${paired.reason}`),
    note && el("p", { class: "hint" }, note),
    paired && [el("h3", null, "Charts of the two on the same days"), versionCharts(paired.version, "Gain by day")],
    metrics?.length > 0 && table("Metrics side by side", ["metric", ...names, "better is"], metrics.map((row) => [row.label, best(row, "a"), best(row, "b"), row.better])),
    about?.length > 0 && [el("h3", null, "How they were made"),
      table("Facts side by side", ["what", ...names, "same"], about.map((row) => [row.what, anyLength(row.a), anyLength(row.b), row.same ? "yes" : el("strong", null, "no")]), { class: "wide" })],
    both?.length > 0 && [el("h3", null, "Feature importance of both"),
      table("Importance side by side", ["feature", ...names], both.map((row) => [row.feature, orDash(row.a, 4), orDash(row.b, 4)]))],
    links(file(a.card, `card of version ${a.version}`), file(b.card, `card of version ${b.version}`)),
  ];
}
