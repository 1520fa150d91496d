// The client's page.
"use strict";

const LINES_MAX = 1000;
const HEADS = { server: "[Servidor] ", error: "[ERRO] ", public: "[Broadcast] ", private: "[Privado] " };
const LIST_HEAD = "Clientes conectados: ";
let phase = "";
let is_fresh = false;

/** All is told anew: the page was opened, or the program is back. */
function begin() {
  $("#lines").replaceChildren();
  is_fresh = true;
}

function show_state(state) {
  const joined = state.phase === "joined";
  const words = { idle: "desconectado", connecting: "conectando…" };
  if (joined) {
    const where = `(${state.id}) em ${state.server}`;
    $("#phase").replaceChildren(make("bdi", "", state.name), " ", where);
  } else {
    $("#phase").textContent = words[state.phase];
  }
  $("#dot").classList.toggle("on", joined);
  $("#entrance").hidden = joined;
  $("#join").disabled = state.phase === "connecting";
  $("#say").hidden = !joined;
  $("#list").disabled = !joined;
  $("#leave").disabled = state.phase === "idle";
  document.title = joined ? `${state.name} · Malha chat` : "Malha chat";
  if (state.why) show_error(state.why);
  if (state.id) fill(state);
  if (joined && phase !== "joined") {
    show_error("");
    $("#talk").hidden = false;
    $("#text").focus();
  }
  if (joined && (is_fresh || phase !== "joined")) ask("/list");
  if (state.phase === "idle") {
    show_people([]);
    const form = $("#connect");
    if (phase !== "" && phase !== "idle" && !form.contains(document.activeElement)) {
      form.elements.id.focus();
    }
  }
  phase = state.phase;
  is_fresh = false;
  show_talk();
}

/** So that whoever leaves can come back with one key. */
function fill(state) {
  for (const name of ["id", "name", "host", "port"]) {
    $("#connect").elements[name].value = state[name];
  }
}

/** Nothing is shown where nothing was said yet. */
function show_talk() {
  $("#talk").hidden = phase !== "joined" && $("#lines").children.length === 0;
}

function show_line(line) {
  const lines = $("#lines");
  const item = make("li", line.voice);
  const head = line.voice === "sent" ? `[Privado para ${line.to}] ` : HEADS[line.voice];
  item.append(make("span", "quiet", head));
  if (line.name) {
    item.append(make("bdi", "who", line.name), make("span", "who", ": "));
  }
  item.append(make("bdi", "text", line.text));
  lines.append(item);
  while (lines.children.length > LINES_MAX) lines.firstChild.remove();
  show_talk();
  follow();
}

/** Who reads further up is not torn away from there; everybody else sees the newest line. */
let is_at_end = true;
/** Its size when the newest line was last looked after. */
let size = "";

function size_now() {
  const lines = $("#lines");
  return `${lines.clientWidth} ${lines.clientHeight}`;
}

function follow() {
  const lines = $("#lines");
  if (is_at_end) lines.scrollTop = lines.scrollHeight;
}

$("#lines").addEventListener("scroll", () => {
  const lines = $("#lines");
  // Of our own scrolling one may hear only when the lines have another size already: then nobody has
  // read further up, and the observer comes next.
  if (size_now() !== size) return;
  is_at_end = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
});
// As when a phone is turned, or its keyboard comes up.
new ResizeObserver(() => {
  size = size_now();
  follow();
}).observe($("#lines"));

let listed = [];

/** `Clientes conectados: 1: Ana, 2: Bia`, in one message or several, by rising id. */
function hear_list(text) {
  const found = text.slice(LIST_HEAD.length).matchAll(/(\d+): (.*?)(?=, \d+: |$)/gs);
  const people = [...found].map(([, id, name]) => ({ id: Number(id), name }));
  if (people.length === 0) return;
  const is_next = listed.length > 0 && listed.at(-1).id < people[0].id;
  show_people(is_next ? [...listed, ...people] : people);
}

function person(id, text) {
  const button = make("button");
  button.type = "button";
  button.append(make("bdi", "", text));
  button.addEventListener("click", () => {
    $("#to").value = id;
    $("#text").focus();
  });
  const item = make("li");
  item.append(button);
  return item;
}

function show_people(people) {
  listed = people;
  $("#count").textContent = people.length > 0 ? `(${people.length})` : "";
  const all = people.length > 0 ? [person("", "todos")] : [];
  $("#people").replaceChildren(...all, ...people.map(({ id, name }) => person(id, `${id}: ${name}`)));
  $("#ids").replaceChildren(...people.map(({ id, name }) => {
    const option = make("option", "", name);
    option.value = id;
    return option;
  }));
}

$("#connect").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("/connect", fields($("#connect")));
});
$("#say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { to, text } = fields($("#say"));
  if (text.trim() === "") return;
  $("#text").value = "";
  const is_said = await ask("/say", { to: to.trim() || "0", text });
  // What could not be said is not lost.
  if (!is_said && $("#text").value === "") $("#text").value = text;
});
$("#list").addEventListener("click", () => ask("/list"));
$("#leave").addEventListener("click", () => ask("/disconnect"));

hear({
  fresh: begin,
  state: show_state,
  line: show_line,
  list: hear_list,
});
