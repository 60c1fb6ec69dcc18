// What the address names: the list of models, or a part of one model. `#models`, `#<model>/<part>`, `#<model>/<part>/…`.

const PARTS = ["now", "timeline", "drift", "decisions", "data", "versions", "serving", "performance"];
const FORMER = { models: "versions" };
export const OVERVIEW = ["now", "timeline", "drift"], LIST = "#models";
let names = [], model = "";

/** Take down which models there are; the first is meant where an address names none. */
export const configure = (configured) => (names = configured);
export const only = () => names.length === 1;

/** Give the model that is shown; empty while the list is. */
export const current = () => model;

/** Give the address of a part of the model that is shown, or of another. */
export const part = (path, of = model) => `#${encodeURIComponent(of)}/${path}`;

/** Give where the page's own API, or its files, tell of the model that is shown. */
export const inModel = (path, of = model) => `models/${encodeURIComponent(of)}/${path}`;
export const inFiles = (path) => `files/${encodeURIComponent(model)}/${path}`;

/** Give the id of one of its Dags. */
export const dagId = (verb, of = model) => `${of}.${verb}`;

function decoded(hash) {
  try {
    return hash.slice(1).split("/").map(decodeURIComponent);
  } catch {
    return [""];
  }
}

/** Read an address: whose it is (empty for the list), and the part with what follows it. */
function read(hash) {
  const [first, ...rest] = decoded(hash);
  if (first && (PARTS.includes(rest[0]) || (!rest.length && names.includes(first)))) return [first, rest.length ? rest : ["now"]];
  const former = FORMER[first] && rest.length ? FORMER[first] : first;
  if (PARTS.includes(former)) return [names[0], [former, ...rest]];
  return only() && hash !== LIST ? [names[0], ["now"]] : ["", []];
}

/** Turn to what the address names now: give its part with what follows it. An address without a model is completed. */
export function turn() {
  const [whose, parts] = read(location.hash);
  model = whose;
  const whole = whose ? part(parts.map(encodeURIComponent).join("/")) : LIST;
  if (location.hash && location.hash !== whole) history.replaceState(history.state, "", whole);
  return parts;
}
