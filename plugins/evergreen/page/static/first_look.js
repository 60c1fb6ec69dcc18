// A first look at the demo in three steps: break a day, watch the alarm, undo it. Whoever may not run Ingest is not offered it.

import { current, dagId, inModel, part } from "./address.js";
import { actionButton } from "./actions.js";
import { clearRun, runOf } from "./airflow.js";
import { ask, el, instant, link, problems, send } from "./dom.js";

const SOON = 5000, LATER = 60000;
const remembered = () => `first-look-dismissed:${current()}`;
const refused = new Map(); // by model, for another one may be shown when the answer comes
let facts = null, whose = null, busy = false, asking = null, tell = () => {};

const dismissed = () => {
  try { return localStorage.getItem(remembered()) !== null; } catch { return false; }
};
function dismiss(yes) {
  try {
    if (yes) localStorage.setItem(remembered(), "yes");
    else localStorage.removeItem(remembered());
  } catch { /* a browser that keeps nothing shows it again */ }
  draw();
}

/** Put the first look where the page has left room for it, if this is the demo; ``changed`` is called when Monitor has news. */
export function placeFirstLook(now, changed) {
  clearTimeout(asking);
  if (whose !== current()) [facts, whose] = [null, current()];
  tell = changed;
  if (!now.first_look || now.starting) return;
  draw();
  refresh();
}

async function refresh() {
  const asked = current();
  try {
    const answer = await ask(inModel("first-look"));
    if (asked !== current()) return;
    const news = facts?.fault && facts.monitored?.names_column !== answer.monitored?.names_column;
    facts = answer;
    if (news) tell();
  } catch {
    facts = null; // what the page cannot tell of itself, it tells above
  }
  draw();
  clearTimeout(asking);
  if (!document.hidden && place()) asking = setTimeout(refresh, waits() ? SOON : LATER);
}

const place = () => document.getElementById("first-look");
const broken = () => Boolean(facts?.fault && !facts.fault.undone_at);
const waits = () => Boolean(facts?.fault && facts.monitored?.names_column !== broken());

async function act(action) {
  const asked = current(), ingest = dagId("ingest", asked), day = action === "undo" ? facts.fault.day : facts.day;
  busy = true;
  refused.delete(asked);
  draw();
  try {
    const run = await runOf("ingest", day, asked);
    if (!run) throw new Error(`Airflow has no run of ${ingest} for ${day}, which could bring the day again: wait for the next day.`);
    const answer = await send(inModel("first-look", asked), { action });
    if (asked === current()) facts = answer;
    await clearRun("ingest", run, asked).catch(({ status }) => {
      throw new Error(status === 403 ? `You may not run ${ingest} again.` : `Airflow ${status ? `answered ${status}` : "did not answer"}: the day was not brought again.`);
    });
  } catch (failed) {
    refused.set(asked, failed.message);
  }
  busy = false;
  draw();
  if (asked !== current()) return;
  clearTimeout(asking);
  asking = setTimeout(refresh, SOON);
}

const button = (text, onclick, attributes) => {
  const made = el("button", { type: "button", disabled: busy, ...attributes }, text);
  made.addEventListener("click", onclick);
  return made;
};
const step = (state, title, ...content) => el("li", { class: state }, el("strong", null, title), content.map((one) => [" ", one]));

function draw() {
  const at = place();
  if (!at) return;
  if (!facts?.may || !facts.day) return at.replaceChildren();
  if (dismissed() && !broken()) return at.replaceChildren(el("p", { class: "quiet" }, button("Show the first look", () => dismiss(false), { class: "plain" })));
  const { fault, monitored, day } = facts, ingest = dagId("ingest");
  const seen = broken() && monitored?.names_column, undone = Boolean(fault?.undone_at), over = undone && !monitored?.names_column;
  at.replaceChildren(el("section", { class: "first-look", "aria-label": "A first look" },
    el("h3", null, "A first look: see what an alarm is"),
    el("ol", null,
      step(fault ? "done" : "next", "Break a day.",
        broken() ? `Since ${instant(fault.set_at)} UTC, on ${fault.day} ${facts.sentence}; Ingest has it again.`
          : undone ? `On ${fault.day}, ${facts.sentence} from ${instant(fault.set_at)} to ${instant(fault.undone_at)} UTC.`
          : `The demo hands ${day} out again, and ${facts.sentence}. Nothing else changes.`,
        !broken() && !(undone && !over) && button(fault ? `Break ${day} again` : `Break ${day}`, () => act("break"))),
      step(seen ? "next" : broken() ? "waits" : undone ? "done" : "", "Watch the alarm.",
        seen ? [`Monitor found it: ${monitored.state === "alarm" ? "an alarm" : "a finding"} that names `, el("code", null, fault.column), ", and the team has a mail (`make up` keeps it in var/mail). "]
          : broken() ? "Ingest, Score and Monitor work on the day again; this takes about a minute."
          : undone ? `Monitor ${monitored?.names_column ? "still shows it" : "no longer shows it"}.`
          : "Score and Monitor follow by themselves, and people get one mail.",
        broken() && link(part(seen ? `drift/${fault.day}/${encodeURIComponent(fault.column)}` : "drift"), seen ? `see how ${fault.column} was distributed` : "see the map of drift")),
      step(broken() ? (seen ? "next" : "") : undone ? (over ? "done" : "waits") : "", "Undo it.",
        over ? `${fault.day} is as it was; ${ingest} has brought the true day again. The alarm ends after calm days, with one more mail.`
          : undone ? "Ingest brings the true day again, and Score and Monitor follow; this takes about a minute."
          : "The true day comes back. A model that was promoted meanwhile goes by a rollback.",
        broken() && button("Undo", () => act("undo")),
        (broken() || undone) && actionButton("rollback", "Roll back…"))),
    problems(refused.has(current()) ? [refused.get(current())] : []),
    !broken() && el("p", { class: "quiet" }, button(over ? "Done: hide this" : "Hide this", () => dismiss(true), { class: "plain" }))));
}
