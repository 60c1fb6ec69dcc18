// What serves, how it does, and whether anything is wrong: one glance.

import { actionButton } from "./actions.js";
import { mlflowRun, runLink } from "./airflow.js";
import { badge, decisionLink, el, empty, facts, file, fold, instant, interval, intervalName, kindInWords, number, orDash, plural, problems, message, sentences, versionLink } from "./dom.js";

const FIRST_FIGURES = 3, FIRST_FINDINGS = 4;
const STATES = { calm: ["Calm", "✓"], watching: ["Watching", "◐"], alarm: ["Alarm", "!"], unknown: ["Unknown", "?"] };

export function drawNow(now) {
  const [word, sign] = STATES[now.state] ?? STATES.unknown;
  const sentence = now.sentence?.startsWith(`${word} `) ? now.sentence.slice(word.length + 1) : now.sentence ?? "";
  return [
    el("div", { class: `state ${now.state in STATES ? now.state : "unknown"}` },
      el("span", { class: "sign", "aria-hidden": "true" }, sign),
      el("div", null, el("strong", null, word), " ", sentences([sentence], 2), warned(now))),
    now.starting && now.champion && empty(now.data?.sentence),
    now.first_look && el("div", { id: "first-look" }),
    problems(now.problems),
    rejections(now),
    !now.sentence?.includes(now.hint?.message) && empty(now.hint),
    el("div", { class: "cards" }, champion(now), performance(now), monitoring(now), challenger(now), data(now), runs(now)),
  ];
}

/** What a calm banner does not speak of: warnings, which are no alarm and request nothing. */
function warned({ state, findings }) {
  const warnings = (findings ?? []).filter(({ severity: of }) => of === "warning");
  return state === "calm" && warnings.length > 0 && `; ${plural(warnings.length, "warning")} below, under Monitoring`;
}

const card = (title, ...content) => el("article", { class: "card" }, el("h3", null, title), content);

function champion({ champion: known, shadow }) {
  if (!known) return card("Champion", el("p", null, "Nothing serves yet."));
  const by = [known.requested_by && `requested by ${known.requested_by}`, known.approved_by && `approved by ${known.approved_by}`];
  return card("Champion",
    el("p", { class: "figure" }, versionLink(known.version)),
    known.warning && el("p", { class: "problem" }, known.warning),
    facts([
      known.days ? ["serves since", `${known.since} (${plural(known.days, "day")})`] : ["serves from", known.since],
      ["trained on", known.window && `${known.window.first_day} to ${known.window.last_day}`],
      ["by", [by.filter(Boolean).join(", "), known.replayed && [" ", badge("replayed")]]],
      ["reason", sentences(known.reasons)],
      ["before it", known.previous_version ? versionLink(known.previous_version) : null],
      ["shadowed by", shadow && `version ${shadow.version} until ${shadow.last_day}`],
    ]),
    links(decisionLink(known.decision_id, "decision"), file(known.card, "model card"), mlflowRun(known.run_id)));
}

function performance({ performance: known, before_live: before, task, champion: serving }) {
  if (!known) return card("Live performance", el("p", null, "Not measured yet: labels have to arrive for days that were scored."), holdoutLines(before));
  const main = known.figures.find((figure) => figure.name === task.metric) ?? known.figures[0];
  const words = { fine: "not worse beyond noise", decay: "decay", unknown: "unknown" };
  const others = known.figures.slice(FIRST_FIGURES);
  return card("Live performance",
    typeof main?.value === "number" && el("p", { class: "figure" }, number(main.value), " ", el("small", null, main.label)),
    el("p", null, badge(known.status, words[known.status]), another(known.version, serving) && `: version ${known.version}, which served on ${known.day}`),
    known.status === "unknown" && (holdoutLines(before) ?? (known.figures.length > 0 && el("p", { class: "quiet" }, "Until labels arrive, the holdout's figures are all that is known: they are under “expected”."))),
    figureTable("Live figures", known, known.figures.slice(0, FIRST_FIGURES)),
    others.length > 0 && fold(`other figures (${others.length})`, figureTable("More live figures", known, others)),
    el("p", { class: "quiet" }, known.window?.days ? `${plural(known.window.days, "labelled day")} from ${known.window.first_day}, ${plural(known.window.rows, "row")}` : known.reason),
    estimateLine(known),
    known.shift_reason && el("p", { class: "quiet" }, `As a whole: ${known.shift_reason}`),
    known.slice_reason && el("p", { class: "quiet" }, `In parts: ${known.slice_reason}`));
}

/** What is known before the first live figure: how the champion did on its holdout; null where that was not kept. */
function holdoutLines(before) {
  if (!before?.holdout && !before?.first_day) return null;
  const seen = before.holdout;
  return [
    seen && el("p", null, el("strong", null, `${number(seen.value)} ${seen.label} on its holdout`), ` (${intervalName(seen.confidence)} ${interval(seen)}`,
      typeof seen.base_rate === "number" && `; the base rate's ${number(seen.base_rate)}`, `; ${plural(seen.days, "day")}, ${plural(seen.rows, "row")})`),
    before.first_day && el("p", { class: "quiet" }, `The first live figure comes on ${before.first_day}, after ${plural(before.labelled_days, "labelled day")}.`),
  ];
}

// Days that were monitored before intervals were kept have none.
function estimateLine({ estimated, estimate_reason: reason }) {
  if (!estimated) return reason && el("p", { class: "quiet" }, capitalised(reason));
  const range = typeof estimated.low === "number" ? `${number(estimated.low)} to ${number(estimated.high)} on nine days of ten` : `± ${number(estimated.error)}`;
  return el("p", { class: "quiet", title: reason ?? "" }, `Without labels yet: about ${number(estimated.value)} (${range}) on ${estimated.day}`,
    reason && `. By ${reason}`);
}

const capitalised = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function figureTable(name, { confidence }, figures) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, el("table", { class: "small" },
    el("caption", { class: "unseen" }, `${name} against what the gate saw on the holdout`),
    el("thead", null, el("tr", null, ["", "live", intervalName(confidence), "expected"].map((head) => head ? el("th", { scope: "col" }, head) : el("td")))),
    el("tbody", null, figures.map((figure) => el("tr", null,
      el("th", { scope: "row" }, figure.label), el("td", null, orDash(figure.value)),
      el("td", null, interval(figure)), el("td", null, orDash(figure.expected)))))));
}

/** Say whether a card speaks of another version than the one that serves from now on. */
const another = (version, serving) => Boolean(version && serving && version !== serving.version);

/** The alarms that people were mailed of: since when, who said what of them, and whether their mails are snoozed. */
const alarms = (episodes) => (episodes ?? []).map((one) => el("div", null,
  el("p", null, el("strong", null, one.subject || `${one.family} since ${one.first_day}`), " ", one.snoozed_until && badge("snooze", `mails snoozed until ${one.snoozed_until}`)),
  one.notes.length > 0 && el("ul", { class: "plain quiet" }, one.notes.map((note) => el("li", null, capitalised(note)))),
  noteButtons({ alarm: one.family, subject: one.subject || `${one.family} since ${one.first_day}` })));

const noteButtons = (given) => row(actionButton("note", "Acknowledge…", { kind: "acknowledgement", ...given }), actionButton("note", "Snooze…", { kind: "snooze", ...given }));
const row = (...buttons) => (buttons.some(Boolean) ? el("p", { class: "act" }, buttons.filter(Boolean)) : null);

function monitoring({ monitor, findings, alarm, episodes, state, champion: serving }) {
  if (!monitor) return card("Monitoring", el("p", null, "No day was monitored yet: Monitor follows each Ingest."));
  const shown = (list) => list.map((finding) => el("li", null, severity(finding, state), " ", message(finding)));
  const found = shown((findings ?? []).slice(0, FIRST_FINDINGS)), others = (findings ?? []).slice(FIRST_FINDINGS);
  return card("Monitoring",
    alarm && el("p", null, el("strong", null, `Alarm since ${alarm.since}`), ` (${plural(alarm.days, "day")})`),
    alarms(episodes),
    found.length ? el("ul", { class: "plain" }, found) : el("p", null, "Nothing was found."),
    [...new Set(others.map(({ kind }) => kind))].map((kind) => {
      const of = others.filter((one) => one.kind === kind);
      return fold(`${plural(of.length, "more finding")} of ${kindInWords(kind)}`, el("ul", { class: "plain" }, shown(of)));
    }),
    facts([
      ["day", monitor.day],
      ["of version", another(monitor.version, serving) ? monitor.version : null],
      ["did", monitor.action === "nothing" ? "nothing" : `requested a ${monitor.action}`],
      ["reason", sentences(monitor.reasons)],
      ["drift", monitor.drift && sentences([monitor.drift.reason])],
      ["late", monitor.days_late ? plural(monitor.days_late, "day") : null],
    ]),
    links(file(monitor.drift?.report, "Evidently report")));
}

/** A finding that would alarm counts towards an alarm; only where one stands is it called so. */
function severity(finding, state) {
  return finding.severity === "alarm" && state !== "alarm" ? badge("warning", "counts towards an alarm") : badge(finding.severity);
}

function challenger({ challenger: known, request }) {
  if (!known && !request) return null;
  return card("Challenger",
    request && el("p", null, "A challenger was requested on ", request.day, " by ", request.requested_by, ": ", (request.reasons ?? []).join("; ")),
    request && links(decisionLink(request.decision_id, "request"), runLink("retrain", request.run_id)),
    known && el("p", null, "Last one: ", versionLink(known.version), " ", badge(known.outcome)),
    known && el("div", null, sentences(known.reasons)),
    known && links(decisionLink(known.decision_id, "decision")));
}

/** What was rejected, why, and what to do: a list with the report of each. */
export function rejections({ rejected }) {
  if (!rejected?.length) return null;
  return el("section", { class: "problem", "aria-label": "Rejected data" },
    el("h3", null, "Rejected data"),
    el("ul", { class: "plain" }, rejected.map((one) => el("li", null,
      el("strong", null, one.what), one.replaces ? " (the registry keeps the content before it)" : "", " ", file(one.report, "validation report"),
      el("ul", null, one.reasons.map((reason) => el("li", null, reason))),
      one.next && el("p", null, el("strong", null, "Next: "), one.next),
      row(actionButton("ingest_again", `Bring ${one.partition ?? one.day} again…`, { day: one.partition ?? one.day, what: `${one.what} rejected` }))))));
}

/** Which periods nothing is learned from, who said so and why. */
export const excluded = (periods) => el("ul", { class: "plain" }, periods.map((one) => el("li", null, badge("excluded", "not learned from"),
  ` ${one.first_day === one.last_day ? one.first_day : `${one.first_day} to ${one.last_day}`}, by ${one.requested_by}: ${one.reason} `, decisionLink(one.decision_id, "decision"), " ",
  actionButton("exclude", "Let count again…", { undo: true, first_day: one.first_day, last_day: one.last_day }))));

function data({ data: known, score, withdrawn, excluded: periods }) {
  return card("Data and scores",
    known && el("p", null, badge(known.status), " ", known.sentence),
    known?.rejected_days?.length > 0 && el("p", { class: "problem" }, `Rejected days: ${known.rejected_days.join(", ")}`),
    withdrawn?.map((one) => el("p", null, badge("withdrawn"), ` ${one.asset} of ${one.day}${one.reason ? `: ${one.reason}` : ""}`)),
    periods?.length ? excluded(periods) : null,
    score ? el("p", null, score.sentence) : el("p", null, "Nothing was scored yet."),
    score && facts([
      ["written", instant(score.written_at)],
      ["late", score.days_late ? plural(score.days_late, "day") : null],
    ]),
    score && links(file(score.report, "validation report"), runLink("score", score.run_id)));
}

function runs({ next, starting }) {
  return card("Runs",
    el("div", { id: "runs", class: "runs", "data-starting": starting }, el("p", { class: "quiet" }, "Asking Airflow…")),
    next && el("p", null, `Next: ${next.sentence}.`));
}

export function links(...all) {
  const known = all.filter((one) => one && typeof one !== "string");
  return known.length ? el("p", { class: "links" }, known) : null;
}
