// The master's page.
"use strict";

/** Some moments ago, to tell how many tasks end in a second. */
let past = [];

function rate(state) {
  const ended = state.done + state.failed;
  if (past.length > 0 && state.ms < past[0].ms) past = [];
  past.push({ ms: state.ms, ended });
  while (past.length > 2 && state.ms - past[1].ms >= 5000) past.shift();
  const seconds = (state.ms - past[0].ms) / 1000;
  return seconds > 0 ? Math.max(0, ended - past[0].ended) / seconds : 0;
}

/** Rows stay as they are, so that nobody who reads them loses the place. */
function fill(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, index) => {
    const line = body.rows[index] || body.insertRow();
    cells.forEach(([className, text], at) => {
      const cell = line.cells[at] || line.insertCell();
      if (cell.className !== className) cell.className = className;
      if (cell.textContent !== String(text)) cell.textContent = text;
    });
  });
}

function more(selector, total, shown) {
  $(selector).textContent = total > shown ? `and ${total - shown} more` : "";
}

/** What is over says why; of one that is not, the reason belongs to what was tried before. */
function state_of({ status, reason, attempts }) {
  if (!reason || status === "done") return status;
  if (status === "failed") return `failed: ${reason}`;
  const attempt = status === "running" ? `running, attempt ${attempts + 1}` : status;
  return `${attempt}; before: ${reason}`;
}

function show(state) {
  const total = state.done + state.running + state.waiting + state.failed;
  const ended = state.done + state.failed;
  $("#phase").textContent = total === 0 ? "" : `${ended} of ${total}`;
  $("#bar").max = Math.max(1, total);
  $("#bar").value = ended;
  for (const name of ["done", "running", "waiting", "failed"]) $(`#${name}`).textContent = state[name];
  $("#rate").textContent = rate(state).toFixed(1);
  $("#trouble").textContent = state.trouble.map(([name, count]) => `${name}: ${count}`).join(" · ");
  $("#nobody").hidden = state.peers.length > 0;
  $("#peers").hidden = state.peers.length === 0;
  fill($("#peer-rows"), state.peers.map((peer) => [["name", peer.id], ["number far", peer.addr],
    ["number", peer.running], ["number", peer.done], ["number far", peer.failed],
    ["number", duration(peer.seconds)]]));
  more("#more-peers", state.peers_total, state.peers.length);
  $("#nothing").hidden = total > 0;
  $("#tasks").hidden = total === 0;
  fill($("#task-rows"), state.tasks.map((task) => [["name", task.name],
    [`state ${task.status}`, state_of(task)],
    ["number", task.seconds === null ? "" : duration(task.seconds)], ["name far", task.peer],
    ["number far", task.attempts || ""]]));
  more("#more-tasks", total, state.tasks.length);
}

hear({ state: show });
