// The map: vehicles and stations on a canvas, and the stations once more as a table.
"use strict";

const DOING = ["drives", "asks", "goes", "charges"];
const PLACES = 15;
let last = null;
let chosen = null;
let known = new Map();
/** posto-2 comes before posto-10. */
const by_name = new Intl.Collator("pt", { numeric: true });

/** Colours as the person has them, light or dark: the legend shows the same. */
function colours() {
  const of = (selector) => getComputedStyle($(selector)).color;
  return {
    ink: getComputedStyle(document.body).color,
    quiet: of(".mark.drives"),
    bad: of(".mark.asks"),
    accent: of(".mark.goes"),
    good: of(".mark.charges"),
    sheet: getComputedStyle($(".sheet")).backgroundColor,
  };
}

function draw() {
  if (!last) return;
  const canvas = $("#map");
  const size = canvas.clientWidth;
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(size * scale)) canvas.width = canvas.height = Math.round(size * scale);
  const c = canvas.getContext("2d");
  c.setTransform(scale, 0, 0, scale, 0, 0);
  c.clearRect(0, 0, size, size);
  const colour = colours();
  const margin = 10;
  const x = (longitude) => margin + ((longitude + 100) / 200) * (size - 2 * margin);
  const y = (latitude) => margin + ((100 - latitude) / 200) * (size - 2 * margin);
  quadrants(c, size, colour);
  const small = Math.max(1.2, Math.min(2.5, size / (4 * Math.sqrt(last.vehicles.length + 1))));
  for (const [latitude, longitude, doing, station] of last.vehicles) {
    const is_for_chosen = chosen !== null && station >= 0 && last.stations[station].id === chosen;
    vehicle(c, x(longitude), y(latitude), DOING[doing], colour, is_for_chosen ? 5 : small);
    if (is_for_chosen) {
      const [to_latitude, to_longitude] = last.stations[station].at;
      line(c, x(longitude), y(latitude), x(to_longitude), y(to_latitude), colour.accent);
    }
  }
  const side = Math.max(5, Math.min(9, size / (4 * Math.sqrt(last.stations.length + 1))));
  // The chosen one last, so that no other hides it.
  const is_chosen = (station) => station.id === chosen;
  for (const station of last.stations.toSorted((one, other) => is_chosen(one) - is_chosen(other))) {
    const [latitude, longitude] = station.at;
    spot(c, x(longitude), y(latitude), side, station, colour);
  }
}

/** The axes, and a sign where no server answers. */
function quadrants(c, size, colour) {
  const middle = size / 2;
  line(c, middle, 0, middle, size, colour.quiet);
  line(c, 0, middle, size, middle, colour.quiet);
  c.font = "14px system-ui, sans-serif";
  c.textAlign = "center";
  c.textBaseline = "middle";
  const corners = [[size - 14, 16], [14, 16], [14, size - 16], [size - 14, size - 16]];
  corners.forEach(([x, y], index) => {
    c.fillStyle = last.sectors[index] ? colour.ink : colour.bad;
    c.fillText(last.sectors[index] ? `${index + 1}` : `${index + 1}✕`, x, y);
  });
}

function line(c, x0, y0, x1, y1, colour) {
  c.strokeStyle = colour;
  c.lineWidth = 1;
  c.beginPath();
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
  c.stroke();
}

/** Each kind has a shape of its own, not only a colour. */
function vehicle(c, x, y, doing, colour, r) {
  c.fillStyle = doing === "goes" ? colour.accent : colour.quiet;
  c.beginPath();
  if (doing === "asks") {
    line(c, x - r, y - r, x + r, y + r, colour.bad);
    line(c, x - r, y + r, x + r, y - r, colour.bad);
  } else if (doing === "goes") {
    c.moveTo(x, y - r - 0.5);
    c.lineTo(x + r, y + r);
    c.lineTo(x - r, y + r);
    c.fill();
  } else {
    c.arc(x, y, r / 1.6, 0, 2 * Math.PI);
    c.fill();
  }
}

/** Filled from below as its queue fills; with the number where there is room. */
function spot(c, x, y, side, station, colour) {
  const share = Math.min(1, station.queue / PLACES);
  c.fillStyle = colour.sheet;
  c.fillRect(x - side, y - side, 2 * side, 2 * side);
  if (station.there) {
    c.fillStyle = share >= 1 ? colour.bad : colour.good;
    c.fillRect(x - side, y + side - 2 * side * share, 2 * side, 2 * side * share);
  }
  c.strokeStyle = station.id === chosen ? colour.accent : station.there ? colour.ink : colour.quiet;
  c.lineWidth = station.id === chosen ? 3 : 1;
  c.setLineDash(station.there ? [] : [2, 2]);
  c.strokeRect(x - side, y - side, 2 * side, 2 * side);
  c.setLineDash([]);
  if (side >= 8 && station.there) {
    c.font = "bold 11px system-ui, sans-serif";
    c.lineWidth = 3;
    c.strokeStyle = colour.sheet;
    c.strokeText(station.queue, x, y + 0.5);
    c.fillStyle = colour.ink;
    c.fillText(station.queue, x, y + 0.5);
  }
}

function row(station) {
  const row = make("tr");
  const button = make("button", "", station.id);
  button.type = "button";
  button.addEventListener("click", () => choose(chosen === station.id ? null : station.id));
  const name = make("td");
  name.append(button);
  row.append(name, make("td", "number queue"), make("td", "number far minutes"));
  return row;
}

/** Rows stay where they are, by name, so that nobody who reads them loses the place. */
function show_stations(stations) {
  const rows = $("#rows");
  const next = new Map();
  const sorted = stations.toSorted((one, other) => by_name.compare(one.id, other.id));
  for (const station of sorted) {
    const line = known.get(station.id) || row(station);
    const queue = station.there ? `${station.queue}${station.charging ? " ⚡" : ""}` : "fora";
    line.querySelector(".queue").textContent = queue;
    line.querySelector(".minutes").textContent = station.minutes === null ? "?" : station.minutes.toFixed(1);
    line.classList.toggle("gone", !station.there);
    line.classList.toggle("chosen", station.id === chosen);
    line.querySelector("button").setAttribute("aria-pressed", station.id === chosen);
    next.set(station.id, line);
  }
  for (const [id, line] of known) if (!next.has(id)) line.remove();
  let before = rows.firstChild;
  for (const line of next.values()) {
    if (line === before) before = before.nextSibling;
    else rows.insertBefore(line, before);
  }
  known = next;
}

function choose(id) {
  chosen = id;
  show(last);
}

function show_chosen(map) {
  const index = map.stations.findIndex((station) => station.id === chosen);
  const station = map.stations[index];
  if (!station) {
    $("#chosen").textContent = map.stations.length ? "Escolha um posto para vê-lo no mapa." : "";
    return;
  }
  const coming = map.vehicles.filter((vehicle) => vehicle[3] === index).length;
  const state = station.there ? `fila ${station.queue} de ${PLACES}, ${coming} a caminho ou esperando` : "fora do ar";
  $("#chosen").textContent = `${station.id}: ${state}.`;
}

function show(map) {
  last = map;
  $("#stations").textContent = map.there_total === map.stations_total
    ? map.stations_total : `${map.there_total} de ${map.stations_total}`;
  $("#vehicles").textContent = map.vehicles_total;
  const there = map.stations.filter((station) => station.there);
  $("#queues").textContent = there.reduce((sum, station) => sum + station.queue, 0);
  $("#shortest").textContent = map.shortest || "–";
  DOING.forEach((doing, index) => { $(`#${doing}`).textContent = map.counts[index]; });
  $("#sectors").replaceChildren(...map.sectors.map((is_up, index) =>
    make("li", is_up ? "" : "off", `setor ${index + 1}${is_up ? "" : " fora"}`)));
  $("#nothing").hidden = map.stations.length > 0;
  $("#table").hidden = map.stations.length === 0;
  const more = [];
  const hidden = map.stations_total - map.stations.length;
  if (hidden > 0) more.push(`e mais ${hidden} postos`);
  const undrawn = map.vehicles_total - map.counts[3] - map.vehicles.length;
  if (undrawn > 0) more.push(`${undrawn} veículos não aparecem no mapa`);
  $("#more").textContent = more.join("; ");
  show_stations(map.stations);
  show_chosen(map);
  draw();
}

$("#map").addEventListener("click", (event) => {
  if (!last || last.stations.length === 0) return;
  const box = $("#map").getBoundingClientRect();
  const longitude = ((event.clientX - box.left) / box.width) * 200 - 100;
  const latitude = 100 - ((event.clientY - box.top) / box.height) * 200;
  const far = (station) => Math.hypot(station.at[0] - latitude, station.at[1] - longitude);
  const nearest = last.stations.reduce((best, station) => (far(station) < far(best) ? station : best));
  choose(far(nearest) < 15 ? nearest.id : null);
});
window.addEventListener("resize", draw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

hear({
  broker: (is_up) => { $("#phase").textContent = is_up ? "ao vivo" : "sem broker; tentando de novo…"; },
  map: show,
});
