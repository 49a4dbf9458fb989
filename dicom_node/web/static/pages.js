// What every page does besides htmx: it says when the node no longer answers, and when it answers again.
"use strict";
document.addEventListener("htmx:sendError", () => document.body.classList.add("silent"));
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) document.body.classList.remove("silent");
});
