// What every page does besides htmx: it says when the node no longer answers, and when it answers again. And it tells
// the node of what it asks by itself while nobody touches it, which keeps no session open.
"use strict";
document.addEventListener("htmx:sendError", () => document.body.classList.add("silent"));
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) document.body.classList.remove("silent");
});
let attended = true;
for (const sign of ["pointermove", "pointerdown", "keydown", "wheel"]) {
  document.addEventListener(sign, () => { attended = true; }, { capture: true, passive: true });
}
document.addEventListener("htmx:configRequest", (event) => {
  if (!attended) event.detail.headers["Unattended"] = "true";
  attended = false;
});
