// What every page here does: hear what is told, ask for something, show text as text.
"use strict";

const $ = (selector) => document.querySelector(selector);

/** An element with classes and text. Text is only ever text, whoever wrote it. */
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Asks for something. An error is shown and read out at #error. */
async function ask(path, fields) {
  show_error("");
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(fields || {}),
    });
    if (answer.ok) return true;
    show_error((await answer.text()) || answer.statusText);
  } catch {
    show_error("O programa não responde. Ele ainda está ativo?");
  }
  return false;
}

function show_error(text) {
  $("#error").textContent = text;
}

/** Hears what is told, each event by its name; `fresh` comes before everything is told anew. */
function hear(heard) {
  const events = new EventSource("/events");
  for (const [name, take] of Object.entries(heard)) {
    events.addEventListener(name, (event) => take(event.data ? JSON.parse(event.data) : null));
  }
  events.addEventListener("open", () => document.body.classList.remove("lost"));
  events.addEventListener("error", () => document.body.classList.add("lost"));
}

/** A form's fields by their names. */
function fields(form) {
  return Object.fromEntries(new FormData(form));
}

/** 3725 seconds are 1:02:05. */
function duration(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
