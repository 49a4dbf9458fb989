// The light view: a film's own 12 to 16 bits under a window of one's own, the heatmap and the regions over it.
"use strict";
(() => {
  const stage = document.getElementById("stage");
  if (!stage) return;
  const find = (id) => document.getElementById(id);
  const canvas = find("canvas");
  const pen = canvas.getContext("2d");
  const marks = find("marks");
  const SVG = "http://www.w3.org/2000/svg";
  const STEP = 1.25; // of a zoom
  const MOVE = 40; // pixels of the screen
  const clamp = (number, low, high) => Math.min(high, Math.max(low, number));

  let film; // what the node tells of it
  let pictures = []; // the coarse one, and the full one when it has come: {samples, columns, rows, step, canvas, image}
  let heatmap = null;
  let table; // the colour of each sample, as a canvas has it
  let chosen; // {centre, width}, or null: as a viewer shows it first
  let inverted = false;
  let outlined = true;
  let place = { scale: 1, x: 0, y: 0 };
  let drawn = null; // a region that somebody marks
  let isDragging = false;
  let isAsked = false;

  const say = (words) => { find("reading").textContent = words; };
  const pressed = (id, is) => find(id) && find(id).setAttribute("aria-pressed", String(is));

  async function get(path) {
    const answer = await fetch(stage.dataset.source + path);
    if (answer.ok) return answer;
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.detail || `The node answers ${answer.status}.`);
  }

  async function read() {
    film = await (await get("")).json();
    film.grey = Uint8Array.from(atob(film.grey), (letter) => letter.charCodeAt(0));
    pictures = [await samples("?first=true", film.step)];
    begin();
    if ("answered" in stage.dataset) {
      const image = new Image();
      image.src = stage.dataset.source + "/attention";
      await image.decode();
      heatmap = image;
      redraw();
    }
    if (film.step > 1) {
      say("The film is shown coarsely; the rest is being read …");
      pictures.push(await samples("", 1));
      paint(pictures[1]);
    }
    say("");
    redraw();
    stage.dataset.ready = "";
  }

  async function samples(path, step) {
    const bytes = await (await get("/samples" + path)).arrayBuffer();
    const columns = Math.floor(film.columns / step), rows = Math.floor(film.rows / step);
    const surface = new OffscreenCanvas(columns, rows);
    const image = new ImageData(columns, rows);
    return { samples: new Uint16Array(bytes), columns, rows, step, surface, image, painted: null };
  }

  // the window

  function tabulate() {
    const colours = new Uint32Array(65536);
    const { centre, width } = chosen || film;
    for (let sample = 0; sample < 65536; sample++) {
      let grey;
      if (film.padding && sample >= film.padding[0] && sample <= film.padding[1]) grey = 0;
      else {
        if (chosen) {
          const value = film.intercept + film.slope * sample;
          const share = clamp((value - (centre - 0.5)) / Math.max(width - 1, 1e-6) + 0.5, 0, 1);
          grey = Math.round(255 * (film.is_inverted ? 1 - share : share));
        } else grey = film.grey[Math.min(sample, film.grey.length - 1)];
        if (inverted) grey = 255 - grey;
      }
      colours[sample] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    table = colours;
  }

  function paint(picture) {
    if (picture.painted === table) return;
    const out = new Uint32Array(picture.image.data.buffer);
    const { samples: from } = picture;
    for (let at = 0; at < from.length; at++) out[at] = table[from[at]];
    picture.surface.getContext("2d").putImageData(picture.image, 0, 0);
    picture.painted = table;
  }

  function look(centre, width, isInverted = inverted) {
    inverted = isInverted;
    chosen = { centre, width: Math.max(width, 1) };
    change();
  }

  function change() {
    tabulate();
    tell();
    redraw();
  }

  function tell() {
    const { centre, width } = chosen || film;
    const digits = Math.abs(film.slope) < 0.5 ? 2 : 0;
    find("centre").value = centre.toFixed(digits);
    find("width").value = width.toFixed(digits);
    pressed("invert", inverted);
    pressed("outlines", outlined);
    pressed("mark", stage.classList.contains("marking"));
  }

  // the place

  function fit() {
    const scale = Math.min(canvas.width / film.columns, canvas.height / film.rows);
    place = { scale, x: (canvas.width - scale * film.columns) / 2, y: (canvas.height - scale * film.rows) / 2 };
  }

  function zoom(factor, x = canvas.width / 2, y = canvas.height / 2) {
    const least = 0.5 * Math.min(canvas.width / film.columns, canvas.height / film.rows);
    const scale = clamp(place.scale * factor, least, 40);
    const by = scale / place.scale;
    place = { scale, x: x - by * (x - place.x), y: y - by * (y - place.y) };
    redraw();
  }

  function move(x, y) {
    place.x += x;
    place.y += y;
    redraw();
  }

  const ratio = () => canvas.width / stage.clientWidth;
  function at(event) {
    const box = stage.getBoundingClientRect();
    return { x: (event.clientX - box.left) * ratio(), y: (event.clientY - box.top) * ratio() };
  }
  const inFilm = (point) => ({
    x: clamp((point.x - place.x) / place.scale, 0, film.columns),
    y: clamp((point.y - place.y) / place.scale, 0, film.rows),
  });

  // drawing

  function redraw() {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; draw(); });
  }

  function draw() {
    const picture = isDragging ? pictures[0] : pictures[pictures.length - 1];
    paint(picture);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(place.scale, 0, 0, place.scale, place.x, place.y);
    pen.imageSmoothingEnabled = place.scale * picture.step < 4;
    pen.drawImage(picture.surface, 0, 0, picture.columns * picture.step, picture.rows * picture.step);
    const opacity = find("opacity").value / 100;
    if (heatmap && opacity) {
      pen.globalAlpha = opacity;
      pen.imageSmoothingEnabled = true;
      pen.drawImage(heatmap, 0, 0, film.columns, film.rows);
      pen.globalAlpha = 1;
    }
    outline();
    stage.dataset.drawn = String(Number(stage.dataset.drawn || 0) + 1);
  }

  function outline() {
    const boxes = outlined ? film.regions.map((box, number) => ({ ...box, words: `${number + 1}: ${film.attention[number].toFixed(2)}` })) : [];
    if (drawn) boxes.push({ ...drawn, words: "marked", marked: true });
    marks.replaceChildren();
    marks.setAttribute("viewBox", `0 0 ${canvas.width} ${canvas.height}`);
    for (const box of boxes) {
      const left = place.x + place.scale * box.left, top = place.y + place.scale * box.top;
      const add = (name, about, words) => {
        const made = document.createElementNS(SVG, name);
        for (const [key, value] of Object.entries(about)) made.setAttribute(key, value);
        if (words) made.textContent = words;
        marks.append(made);
      };
      const size = { width: place.scale * (box.right - box.left), height: place.scale * (box.bottom - box.top) };
      add("rect", { class: "shadow", x: left, y: top, ...size });
      add("rect", { class: box.marked ? "marked" : "region", x: left, y: top, ...size });
      add("text", { x: left + 4, y: Math.max(top - 6, 14), "font-size": 14 * ratio() }, box.words);
    }
  }

  function measure() {
    canvas.width = Math.round(stage.clientWidth * devicePixelRatio);
    canvas.height = Math.round(stage.clientHeight * devicePixelRatio);
  }

  function begin() {
    film.attention.forEach((attention, number) => {
      const cell = document.querySelector(`[data-attention="${number}"]`);
      if (cell) cell.textContent = attention.toFixed(2);
    });
    measure();
    asAtFirst();
    new ResizeObserver(() => { measure(); fit(); redraw(); }).observe(stage);
  }

  function asAtFirst() {
    chosen = null;
    inverted = false;
    outlined = true;
    find("opacity").value = Math.round(20 * film.opacity) * 5;
    fit();
    change();
  }

  // mouse and touch

  const fingers = new Map();
  let pinch = null;

  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (!film || !pictures.length) return;
    const point = at(event);
    zoom(event.deltaY < 0 ? STEP : 1 / STEP, point.x, point.y);
  }, { passive: false });

  stage.addEventListener("pointerdown", (event) => {
    if (!pictures.length) return;
    stage.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { ...at(event), button: event.button });
    pinch = null;
    if (stage.classList.contains("marking") && fingers.size === 1 && event.button === 0) {
      const from = inFilm(at(event));
      drawn = { from, left: from.x, top: from.y, right: from.x, bottom: from.y };
    }
  });

  stage.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const x = now.x - before.x, y = now.y - before.y;
    fingers.set(event.pointerId, { ...before, ...now });
    if (fingers.size === 2) {
      const [one, other] = [...fingers.values()];
      const apart = Math.hypot(one.x - other.x, one.y - other.y);
      const middle = { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
      if (pinch) {
        move(middle.x - pinch.middle.x, middle.y - pinch.middle.y);
        zoom(apart / Math.max(pinch.apart, 1), middle.x, middle.y);
      }
      pinch = { apart, middle };
    } else if (before.button !== 0) move(x, y);
    else if (stage.classList.contains("marking") && drawn) {
      const to = inFilm(now), { from } = drawn;
      drawn = { from, left: Math.min(from.x, to.x), top: Math.min(from.y, to.y), right: Math.max(from.x, to.x), bottom: Math.max(from.y, to.y) };
      redraw();
    } else {
      isDragging = true;
      const { centre, width } = chosen || film;
      const step = film.width / 500 / ratio();
      look(centre + y * step, width + x * step);
    }
  });

  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => {
      if (!fingers.delete(event.pointerId)) return;
      pinch = null;
      isDragging = false;
      if (drawn && stage.classList.contains("marking")) marked();
      redraw();
    });
  }

  function marked() {
    const { left, top, right, bottom } = drawn;
    if (right - left < 1 || bottom - top < 1) drawn = null;
    else {
      document.dispatchEvent(new CustomEvent("region-drawn", { detail: { sop_instance_uid: stage.dataset.film, left: Math.floor(left), top: Math.floor(top), right: Math.ceil(right), bottom: Math.ceil(bottom) } }));
      mark(false);
    }
  }

  document.addEventListener("region-cleared", () => { drawn = null; redraw(); });

  function mark(is) {
    if (!find("mark")) return;
    stage.classList.toggle("marking", is);
    if (is) say("Draw a box on the film.");
    else say("");
    tell();
  }

  // buttons, fields and keys

  let shownOpacity = 0;
  const heat = (opacity) => {
    const slider = find("opacity");
    if (slider.disabled) return;
    slider.value = clamp(opacity, 0, 100);
    redraw();
  };
  const opacity = () => Number(find("opacity").value);
  const actions = {
    "+": () => zoom(STEP),
    "=": () => zoom(STEP),
    "-": () => zoom(1 / STEP),
    "[": () => heat(opacity() - 10),
    "]": () => heat(opacity() + 10),
    h: () => {
      if (opacity()) { shownOpacity = opacity(); heat(0); } else heat(shownOpacity || 100 * film.opacity);
    },
    i: () => { inverted = !inverted; change(); },
    r: () => { outlined = !outlined; tell(); redraw(); },
    m: () => mark(!stage.classList.contains("marking")),
    0: asAtFirst,
    n: () => neighbour("nextElementSibling"),
    p: () => neighbour("previousElementSibling"),
    v: () => find("viewer") && find("viewer").click(),
  };
  const neighbour = (which) => {
    const current = document.querySelector(".films [aria-current]");
    if (current && current[which]) current[which].click();
  };

  document.addEventListener("keydown", (event) => {
    if (!pictures.length || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select")) return;
    const sides = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (sides && event.target === stage) {
      const { centre, width } = chosen || film;
      const step = film.width / 50;
      if (event.shiftKey) look(centre + sides[1] * step, width + sides[0] * step);
      else move(-MOVE * sides[0], -MOVE * sides[1]);
    } else if (actions[event.key.toLowerCase()]) actions[event.key.toLowerCase()]();
    else return;
    event.preventDefault();
  });

  find("opacity").addEventListener("input", redraw);
  for (const id of ["centre", "width"]) {
    find(id).addEventListener("change", () => {
      const [centre, width] = [find("centre").valueAsNumber, find("width").valueAsNumber];
      if (Number.isFinite(centre) && Number.isFinite(width)) look(centre, width);
      else tell();
    });
  }
  for (const [id, key] of [["invert", "i"], ["outlines", "r"], ["closer", "+"], ["farther", "-"], ["reset", "0"], ["mark", "m"]]) {
    if (find(id)) find(id).addEventListener("click", () => pictures.length && actions[key]());
  }

  read().catch((error) => say(error.message));
})();
