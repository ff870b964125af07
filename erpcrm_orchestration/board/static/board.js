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
