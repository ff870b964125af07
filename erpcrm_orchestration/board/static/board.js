// What lives on a page without being asked: its living part, and forms that send themselves. Everything works without it.
"use strict";

// Instants come in UTC; people read them in the zone of their device, in the language of the page.
const instants = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });

function local(part) {
  for (const one of part.querySelectorAll("time[datetime]")) {
    one.title = one.dateTime;
    one.textContent = instants.format(new Date(one.dateTime));
  }
}
local(document);

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
      answer = await fetch(location.href, { headers, credentials: "same-origin", redirect: "manual", cache: "no-store" });
    } catch {
      told(false);
      return;
    }
    if (answer.type === "opaqueredirect" || answer.status === 401) return location.reload();
    told(answer.ok || answer.status === 304);
    if (!answer.ok) return;
    const first = !tag;
    tag = answer.headers.get("etag") || "";
    const text = await answer.text();
    if (first && text === part.dataset.text) return;
    replace(part, text);
  }
  setInterval(look, every);
  document.addEventListener("visibilitychange", look);
}

function replace(part, text) {
  if (part.contains(document.activeElement) && ["INPUT", "TEXTAREA", "SELECT"].includes(document.activeElement.tagName)) return;
  const focused = part.contains(document.activeElement) ? pathTo(part, document.activeElement) : null;
  const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  const fresh = new DOMParser().parseFromString(text, "text/html");
  local(fresh);
  part.replaceChildren(...fresh.body.childNodes);
  [...part.querySelectorAll(".scroll")].forEach((one, place) => { one.scrollLeft = scrolled[place] || 0; });
  if (focused) focused.reduce((node, place) => node && node.children[place], part)?.focus({ preventScroll: true });
  part.dispatchEvent(new CustomEvent("refreshed", { bubbles: true }));
}

function pathTo(part, node) {
  const path = [];
  for (let one = node; one !== part; one = one.parentElement) path.unshift([...one.parentElement.children].indexOf(one));
  return path;
}

document.querySelectorAll("[data-live]").forEach(live);

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
