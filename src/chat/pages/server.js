// The server's page.
"use strict";

/** The state some seconds ago, to tell how many messages come in a second. */
let past = [];
let known = new Map();
const TROUBLE = {
  malformed: "datagramas inválidos",
  flawed: "textos recusados",
  refused: "pedidos recusados",
  "too-fast": "mensagens demais",
  "silent-clients": "clientes sem sinal de vida",
  unsent: "mensagens perdidas no envio",
};

function rate(state) {
  if (past.length > 0 && state.texts < past[0].texts) past = [];
  past.push({ ms: state.ms, texts: state.texts });
  while (past.length > 2 && state.ms - past[1].ms >= 2000) past.shift();
  const first = past[0];
  const seconds = (state.ms - first.ms) / 1000;
  return seconds > 0 ? (state.texts - first.texts) / seconds : 0;
}

function row(client) {
  const row = make("tr");
  const name = make("td", "name");
  name.append(make("bdi", "", client.name));
  row.append(make("td", "number", client.id), name,
    make("td", "number far", client.addr), make("td", "number since"));
  return row;
}

/** Rows stay as they are, so that nobody who reads them loses the place. */
function show_clients(clients) {
  const rows = $("#rows");
  const next = new Map();
  for (const client of clients) {
    const key = `${client.id} ${client.addr} ${client.name}`;
    const line = known.get(key) || row(client);
    line.querySelector(".since").textContent = duration(client.seconds);
    next.set(key, line);
  }
  for (const [key, line] of known) if (!next.has(key)) line.remove();
  let before = rows.firstChild;
  for (const line of next.values()) {
    if (line === before) before = before.nextSibling;
    else rows.insertBefore(line, before);
  }
  known = next;
}

function show(state) {
  const focused = document.activeElement;
  const clients = state.clients || [];
  const total = state.clients_total || 0;
  $("#phase").textContent = state.running ? `ativo em ${state.host}:${state.port}` : "parado";
  $("#dot").classList.toggle("on", state.running);
  $("#start").disabled = state.running;
  $("#stop").disabled = !state.running;
  for (const name of ["host", "port"]) {
    const input = $("#control").elements[name];
    input.disabled = state.running;
    if (state.running || input.value === "") input.value = state[name];
  }
  // Whoever pressed a key that is off now is led to the other.
  if (focused.disabled) $(state.running ? "#stop" : "#start").focus();
  $("#uptime").textContent = state.running ? duration(state.seconds) : "–";
  $("#total").textContent = total;
  $("#texts").textContent = state.texts || 0;
  $("#rate").textContent = state.running ? rate(state).toFixed(1).replace(".", ",") : "0";
  const trouble = (state.trouble || []).map(([name, count]) => `${TROUBLE[name] || name}: ${count}`);
  $("#trouble").textContent = trouble.join(" · ");
  $("#nobody").hidden = total > 0;
  $("#clients").hidden = total === 0;
  $("#more").textContent = total > clients.length ? `e mais ${total - clients.length}` : "";
  show_clients(clients);
}

$("#control").addEventListener("submit", (event) => {
  event.preventDefault();
  ask("/start", fields($("#control")));
});
$("#stop").addEventListener("click", () => ask("/stop"));

hear({ state: show });
