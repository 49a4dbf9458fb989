// The worklist: says politely what is new on it, and is walked through by keys.
"use strict";
(() => {
  const answers = () =>
    new Map([...document.querySelectorAll("[data-study]")].map((row) => [row.dataset.study, row.dataset.answer]));
  const links = () => [...document.querySelectorAll("[data-study] th a")];
  const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;
  let known = answers();

  function news(now) {
    const come = [...now.keys()].filter((study) => !known.has(study));
    const answered = [...now].filter(([study, answer]) => answer && known.get(study) !== answer);
    const likely = answered.filter(([, answer]) => answer === "likely");
    const said = [];
    if (come.length) said.push(count(come.length, "new study", "new studies"));
    if (answered.length) said.push(count(answered.length, "new answer", "new answers"));
    if (likely.length) said.push(`pneumonia likely: ${likely.length}`);
    return said.join(", ");
  }

  document.addEventListener("htmx:afterSettle", (event) => {
    const now = answers();
    const asked = event.detail.requestConfig;
    const said = asked && asked.elt.id === "list" ? news(now) : count(now.size, "study is shown", "studies are shown");
    if (said) document.getElementById("news").textContent = said + ".";
    known = now;
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (event.key === "/") document.getElementById("search").focus();
    else if (step) {
      const all = links();
      const at = all.indexOf(document.activeElement);
      const next = all[at < 0 ? 0 : at + step];
      if (next) next.focus();
    } else return;
    event.preventDefault();
  });
})();
