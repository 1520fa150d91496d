// The client's page.
"use strict";

const LINES_MAX = 1000;
const HEADS = { server: "[Servidor] ", error: "[ERRO] ", public: "[Broadcast] ", private: "[Privado] " };
let phase = "";

function show_state(state) {
  const joined = state.phase === "joined";
  const words = { idle: "desconectado", connecting: "conectando…" };
  $("#phase").textContent = joined
    ? `${state.name} (${state.id}) em ${state.server}` : words[state.phase];
  $("#dot").classList.toggle("on", joined);
  $("#entrance").hidden = joined;
  $("#join").disabled = state.phase === "connecting";
  for (const id of ["#text", "#to", "#send", "#list"]) $(id).disabled = !joined;
  $("#leave").disabled = state.phase === "idle";
  if (state.why) show_error(state.why);
  if (joined) document.title = `${state.name} · Malha chat`;
  if (joined && phase !== "joined") {
    show_error("");
    $("#text").focus();
    ask("/list");
  }
  if (state.phase === "idle") show_people([]);
  phase = state.phase;
}

function show_line(line) {
  const lines = $("#lines");
  const is_at_end = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  const item = make("li", line.voice);
  const head = line.voice === "sent" ? `[Privado para ${line.to}] ` : HEADS[line.voice];
  item.append(make("span", "quiet", head));
  if (line.name) item.append(make("span", "who", `${line.name}: `));
  item.append(make("span", "text", line.text));
  lines.append(item);
  while (lines.children.length > LINES_MAX) lines.firstChild.remove();
  // Who reads further up is not torn away from it.
  if (is_at_end) lines.scrollTop = lines.scrollHeight;
  if (line.voice === "server") hear_list(line.text);
}

/** `Clientes conectados: 1: Ana, 2: Bia`, in one message or several. */
function hear_list(text) {
  const head = "Clientes conectados: ";
  if (!text.startsWith(head)) return;
  const people = [...text.slice(head.length).matchAll(/(\d+): (.*?)(?=, \d+: |$)/g)];
  const now = performance.now();
  const is_next = now - listed_at < 500;
  listed_at = now;
  show_people([...(is_next ? listed : []), ...people.map(([, id, name]) => ({ id, name }))]);
}

let listed = [];
let listed_at = -1000;

function show_people(people) {
  listed = people;
  $("#people").replaceChildren(...people.map(({ id, name }) => {
    const button = make("button", "", `${id}: ${name}`);
    button.type = "button";
    button.addEventListener("click", () => {
      $("#to").value = id;
      $("#text").focus();
    });
    const item = make("li");
    item.append(button);
    return item;
  }));
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
  if (text.trim() !== "" && (await ask("/say", { to: to.trim() || "0", text }))) $("#text").value = "";
});
$("#list").addEventListener("click", () => {
  listed_at = -1000;
  ask("/list");
});
$("#leave").addEventListener("click", async () => {
  if (await ask("/disconnect")) $("#connect").elements.id.focus();
});

hear({
  fresh: () => $("#lines").replaceChildren(),
  state: show_state,
  line: show_line,
});
