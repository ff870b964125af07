// What lives on a page without being asked: its living part, and forms that send themselves. Everything works without it.
"use strict";

// Instants come in UTC; people read them in the zone of their device, in the language of the page.
const language = document.documentElement.lang;
const place = language === "en" ? "en-GB" : language;
const instants = new Intl.DateTimeFormat(place, { dateStyle: "medium", timeStyle: "short" });
const ofThisYear = new Intl.DateTimeFormat(place, { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });

function local(part) {
  for (const one of part.querySelectorAll("time[datetime]")) {
    const instant = new Date(one.dateTime);
    const isOfThisYear = instant.getFullYear() === new Date().getFullYear();
    one.title = one.dateTime;
    one.textContent = (isOfThisYear ? ofThisYear : instants).format(instant);
  }
}
const parts = new Map([...document.querySelectorAll("[data-live]")].map((part) => [part, part.innerHTML.trim()]));
local(document);
// On a narrow screen the entry of this page may stand outside of the row.
document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

const offline = document.getElementById("offline");

function told(reached) {
  if (offline) offline.hidden = reached;
}

// The part keeps the focus of the person: what has not changed is not replaced, what has is asked for by its address again.
function live(part) {
  const every = Number(part.dataset.every || 5) * 1000;
  let tag = "";
  async function look() {
    if (document.hidden) return;
    const headers = { "x-live": "1" };
    if (tag) headers["if-none-match"] = tag;
    let answer;
    try {
      answer = await fetch(part.dataset.live || location.href, { headers, credentials: "same-origin", redirect: "manual", cache: "no-store" });
    } catch {
      told(false);
      return;
    }
    if (answer.type === "opaqueredirect" || answer.status === 401) return location.reload();
    told(answer.status < 500);
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    // The first answer mostly says what the page itself said: what has not changed is not announced again.
    const text = fresh.body.innerHTML.trim();
    const known = parts.get(part) === text;
    if (known || replace(part, fresh)) {
      tag = answer.headers.get("etag") || "";
      parts.set(part, text);
    }
  }
  setInterval(look, every);
  document.addEventListener("visibilitychange", look);
}

// Returns false while somebody fills a form of the part: it is asked for again at the next look.
function replace(part, fresh) {
  const holder = part.contains(document.activeElement) ? document.activeElement : null;
  if (holder?.matches("input, textarea, select") || [...part.querySelectorAll("input, textarea, select")].some(isFilled)) return false;
  const focused = holder && placeOf(part, holder);
  const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  const open = [...part.querySelectorAll("details[open]")].map((one) => placeOf(part, one));
  local(fresh);
  part.replaceChildren(...fresh.body.childNodes);
  [...part.querySelectorAll(".scroll")].forEach((one, place) => { one.scrollLeft = scrolled[place] || 0; });
  for (const place of open) at(part, place)?.setAttribute("open", "");
  if (focused) at(part, focused)?.focus({ preventScroll: true });
  return true;
}

function isFilled(one) {
  if (one.matches("select")) return [...one.options].some((choice) => choice.selected !== choice.defaultSelected) && one.selectedIndex > 0;
  return one.value !== one.defaultValue || one.checked !== one.defaultChecked;
}

// A place is told from the nearest element that has an id: a line that has moved meanwhile is found where it is now.
function placeOf(part, node) {
  const steps = [];
  let one = node;
  for (; one !== part && !one.id; one = one.parentElement) steps.unshift([...one.parentElement.children].indexOf(one));
  return { id: one === part ? null : one.id, steps };
}

function at(part, { id, steps }) {
  return steps.reduce((node, step) => node && node.children[step], id ? document.getElementById(id) : part);
}

[...parts.keys()].forEach(live);

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});

// A second click sends nothing: the server would join the same request anyway.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
  setTimeout(() => { delete form.dataset.sent; }, 3000);
});

// A mail template is shown filled while it is written.
const written = document.querySelector("form[data-preview]");
if (written) {
  const shown = (name) => document.getElementById(`preview-${name}`);
  let waiting = 0;
  async function preview() {
    const dossier = shown("dossier").value.trim();
    if (!dossier) return;
    const fields = new FormData(written);
    const body = { dossier, subject: fields.get("subject"), text: fields.get("text"), html: fields.get("html") || null };
    const answer = await fetch("/api/v1/settings/preview", {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": document.body.dataset.csrf },
      body: JSON.stringify(body),
    });
    const found = await answer.json();
    shown("subject").textContent = found.subject || "";
    shown("text").textContent = found.text || "";
    const faults = (found.faults || found.errors || []).map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    });
    shown("faults").replaceChildren(...faults);
  }
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(preview, 300); };
  written.addEventListener("input", soon);
  shown("dossier").addEventListener("input", soon);
  preview();
}

// The form of an order shows what its program takes, and which accounts its audience holds now.
const ordered = document.querySelector("form[data-order]");
if (ordered) {
  const field = (name) => ordered.elements.namedItem(name);
  const shown = (name) => document.getElementById(`audience-${name}`);
  document.querySelector("[data-without-script]").hidden = true;
  for (const one of ordered.querySelectorAll(".of-program")) one.hidden = true;
  function fit() {
    for (const part of ordered.querySelectorAll("[data-programs]")) {
      part.hidden = !part.dataset.programs.split(" ").includes(field("program").value);
      for (const one of part.querySelectorAll("input, select")) one.disabled = part.hidden;
    }
    for (const name of ["date", "hour"]) field(name).disabled = field("agenda").checked;
  }
  function items(lines) {
    return lines.map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    });
  }
  let latest = 0;
  async function look() {
    const asked = (latest += 1);
    const [audience, dossier] = [field("audience").value, field("dossier").value.trim()];
    shown("all").hidden = audience !== "";
    let found = {};
    if (audience && dossier) {
      const address = `/api/v1/audiences/${encodeURIComponent(audience)}/preview?dossier=${encodeURIComponent(dossier)}`;
      found = await (await fetch(address)).json();
    }
    // An answer that came after the next question is of no use any more.
    if (asked !== latest) return;
    shown("count").hidden = found.count === undefined;
    shown("count").querySelector("b").textContent = found.count === undefined ? "" : found.count.toLocaleString(place);
    shown("accounts").replaceChildren(...items((found.accounts || []).map((one) => `${one.code || one.customer_id} ${one.name}`)));
    shown("faults").replaceChildren(...items(found.errors || []));
  }
  ordered.addEventListener("change", (event) => {
    fit();
    if (["audience", "dossier"].includes(event.target.name)) look();
  });
  fit();
  look();
}
