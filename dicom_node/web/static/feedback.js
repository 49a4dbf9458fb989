// The feedback panel of a study: one key for each verdict, and the region that was drawn on a film.
"use strict";
const SIDES = ["left", "top", "right", "bottom"];
const field = (name) => document.getElementById(`region-${name}`);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.target.closest("input, textarea, select")) return;
  const button = document.querySelector(`#verdict-form [aria-keyshortcuts="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!button) return;
  event.preventDefault();
  button.focus();
  button.click();
});

// Whoever lets people draw on a film says where: {sop_instance_uid, left, top, right, bottom} in its pixels.
document.addEventListener("region-drawn", (event) => {
  if (!field("film")) return;
  field("film").value = event.detail.sop_instance_uid;
  for (const side of SIDES) field(side).value = Math.round(event.detail[side]);
  document.getElementById("region").open = true;
});

document.addEventListener("click", (event) => {
  if (event.target.id !== "region-clear") return;
  for (const side of SIDES) field(side).value = "";
  document.dispatchEvent(new CustomEvent("region-cleared"));
});

// A fault is shown where it is: htmx leaves out what is refused.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id === "feedback" && event.detail.xhr.status === 422) event.detail.shouldSwap = true;
});
