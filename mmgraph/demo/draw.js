// Drawing: each step becomes a frame, which the slider and the filmstrip show again.

import { bitmap, chip, events, get, make, paint, picture, runner, show, tellUnknown, waiting } from "/parts.js";

export const drawing = { frames: [], count: 1, chosen: 0, caption: "", seed: 0, tiles: [], timer: 0 };
const draw = runner("draw", ["draw-button"]);
const references = new Map(); // caption -> the picture that belongs to it in the data

get("draw-form").addEventListener("submit", (event) => {
  event.preventDefault();
  draw(async (signal) => {
    const fields = { caption: get("caption").value.trim(), guidance: Number(get("guidance").value) };
    for (const name of ["steps", "seed", "count"]) fields[name] = get(name).valueAsNumber;
    stopPlaying();
    let started = false;
    show("draw-status", waiting(0));
    try {
      for await (const event of events("/draw", fields, signal)) {
        if (event.event === "queued") show("draw-status", waiting(event.ahead));
        if (event.event === "unknown") tellUnknown("draw", event.words);
        if (event.event === "step") {
          if (!started) await startDrawing(fields);
          started = true;
          await addFrame(event);
        }
        if (event.event === "done") {
          show("draw-status", `Drawn in ${event.seconds.toFixed(1)} s, ${drawing.frames.length} steps.`);
          get("command-line").textContent = event.command;
          get("command").hidden = false;
        }
      }
    } finally {
      if (get("draw-status").textContent.startsWith("Drawn") === false) show("draw-status", "");
      if (drawing.frames.length) finishDrawing();
    }
  });
});

async function startDrawing({ caption, count, seed }) {
  Object.assign(drawing, { frames: [], count, chosen: 0, caption, seed });
  drawing.tiles = Array.from({ length: count }, (_, index) => {
    const button = make("button", { type: "button" }, make("canvas"), make("span", { className: "label", textContent: `${index + 1}` }));
    button.setAttribute("aria-label", `Picture ${index + 1} of ${count}: ${caption}`);
    button.addEventListener("click", () => choose(index));
    return button;
  });
  get("tiles").replaceChildren(...drawing.tiles);
  get("tiles").dataset.count = count;
  if (references.has(caption)) {
    const canvas = picture(await bitmap(references.get(caption)));
    get("tiles").append(make("figure", {}, canvas, make("figcaption", { textContent: "in the data" })));
  }
  get("film").replaceChildren();
  get("command").hidden = true;
  get("drawn").hidden = false;
  get("moment").disabled = get("play").disabled = true;
  choose(0);
}

async function addFrame({ step, steps, time, pictures, read }) {
  drawing.frames.push({ time, image: await bitmap(pictures), read: read && (await bitmap(read)) });
  get("moment").max = drawing.frames.length;
  showFrame(drawing.frames.length - 1);
  if (step === 1) show("draw-status", `Drawing, ${steps} steps.`);
}

function finishDrawing() {
  get("moment").disabled = get("play").disabled = drawing.frames.length < 2;
  showFilm();
  get("take-drawn").disabled = false;
}

function showFrame(number) {
  const { image, time } = drawing.frames[number];
  drawing.tiles.forEach((tile, index) => paint(tile.querySelector("canvas"), image, index, drawing.count));
  get("moment").value = number + 1;
  const when = time === null ? "" : `, t = ${time.toFixed(2)}`;
  get("moment-value").value = `step ${number + 1} of ${drawing.frames.length}${when}`;
  get("moment").setAttribute("aria-valuetext", get("moment-value").value);
}

function choose(index) {
  drawing.chosen = index;
  drawing.tiles.forEach((tile, other) => tile.setAttribute("aria-pressed", String(other === index)));
  if (!get("moment").disabled || drawing.frames.length === 1) showFilm();
}

function showFilm() {
  const { frames, chosen, count } = drawing;
  const shown = Math.min(10, frames.length);
  const places = Array.from({ length: shown }, (_, k) => Math.round((k * (frames.length - 1)) / Math.max(1, shown - 1)));
  const reads = frames.every((frame) => frame.read);
  get("film").replaceChildren(...places.map((place) => {
    const { read, image, time } = frames[place];
    const rows = [...(reads ? [picture(read, chosen, count)] : []), picture(image, chosen, count)];
    const label = time === null ? `${place + 1}` : `t ${time.toFixed(2)}`;
    return make("figure", {}, ...rows, make("figcaption", { textContent: label }));
  }));
  get("film-legend").textContent = reads
    ? "Above: what the model reads at time t (0 = noise, 1 = data). Below: the picture it expects from that."
    : "The picture so far, from the first step to the last.";
}

function stopPlaying() {
  clearInterval(drawing.timer);
  drawing.timer = 0;
  get("play").textContent = "Play";
}

get("play").addEventListener("click", () => {
  if (drawing.timer) return stopPlaying();
  let number = Number(get("moment").value) >= drawing.frames.length ? 0 : Number(get("moment").value);
  get("play").textContent = "Pause";
  drawing.timer = setInterval(() => {
    showFrame(number++);
    if (number >= drawing.frames.length) stopPlaying();
  }, Math.max(40, 2500 / drawing.frames.length));
});
get("moment").addEventListener("input", () => { stopPlaying(); showFrame(Number(get("moment").value) - 1); });
get("guidance").addEventListener("input", () => { get("guidance-value").value = Number(get("guidance").value).toFixed(1); });

export const drawnCanvas = () => drawing.tiles[drawing.chosen].querySelector("canvas");

get("download").addEventListener("click", () => {
  const small = drawnCanvas();
  const scale = Math.max(1, Math.floor(512 / small.width));
  const large = make("canvas", { width: small.width * scale, height: small.height * scale });
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, large.width, large.height);
  large.toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob) });
    const words = drawing.caption.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60);
    link.download = `${words || "drawn"}-seed-${drawing.seed}-${drawing.chosen + 1}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
});

// -- what to try ------------------------------------------------------------------------------------------------

export function offerCaptions({ trained, unseen }) {
  const groups = [["Seen in training", trained], ["Never seen", unseen]].filter(([, captions]) => captions.length);
  get("draw-examples").replaceChildren(...groups.map(([heading, captions]) => {
    const chips = make("div", { className: "chips" });
    const more = chip("Others", () => fill(true));
    more.setAttribute("aria-label", `Other examples: ${heading}`);
    let start = -4;
    const fill = () => {
      start = (start + 4) % captions.length;
      const shown = Array.from({ length: Math.min(4, captions.length) }, (_, k) => captions[(start + k) % captions.length]);
      chips.replaceChildren(...shown.map(({ text }) => chip(text, () => { get("caption").value = text; get("caption").focus(); })));
    };
    fill();
    more.hidden = captions.length <= 4;
    return make("div", {}, make("div", { className: "head" }, make("h3", { textContent: heading }), more), chips);
  }));
  for (const { text, picture: png } of [...trained, ...unseen]) references.set(text, png);
}

export function offerWords(words) {
  get("vocabulary").hidden = !words.length;
  get("word-count").textContent = words.length.toLocaleString("en");
  const list = () => {
    const wanted = get("word-filter").value.trim().toLowerCase();
    const found = words.filter((known) => known.startsWith(wanted)).slice(0, 80);
    const add = (known) => () => { get("caption").value = `${get("caption").value} ${known}`.trim(); };
    get("words").replaceChildren(...(found.length ? found.map((known) => chip(known, add(known))) : ["No such word."]));
  };
  get("word-filter").addEventListener("input", list);
  list();
}
