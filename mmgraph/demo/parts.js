// What both sides of the page share: elements, small pictures, and talking to the server.

export const get = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function show(id, text) {
  const element = get(id);
  element.textContent = text;
  element.hidden = !text;
}

export function percent(value) {
  if (value > 0.999) return "> 99.9 %";
  if (value < 0.001) return "< 0.1 %";
  return `${(100 * value).toFixed(value > 0.99 || value < 0.1 ? 1 : 0)} %`;
}

// -- pictures: small PNGs, kept at their own size and enlarged by the browser without smoothing ---------------

export async function bitmap(png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

export function paint(canvas, image, index = 0, count = 1) {
  const width = image.width / count;
  canvas.width = width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, index * width, 0, width, image.height, 0, 0, width, image.height);
}

export function picture(image, index = 0, count = 1) {
  const canvas = make("canvas");
  canvas.setAttribute("aria-hidden", "true");
  paint(canvas, image, index, count);
  return canvas;
}

export const pngOf = (canvas) => canvas.toDataURL("image/png").split(",")[1];

// -- talking to the server --------------------------------------------------------------------------------------

async function answerOf(response) {
  if (response.ok) return response;
  const message = await response.json().then((body) => body.message, () => `the server answered ${response.status}.`);
  throw new Error(message);
}

const UNREACHABLE = "the demo does not answer; is `mmgraph demo` still running in its terminal?";

export async function send(path, options) {
  try {
    return await answerOf(await fetch(path, options));
  } catch (error) {
    throw error instanceof TypeError ? new Error(UNREACHABLE) : error;
  }
}

export async function* events(path, fields, signal) {
  const body = JSON.stringify(fields);
  const response = await send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", ended = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const event = JSON.parse(line);
      if (event.event === "error") throw new Error(event.message);
      ended ||= event.event === "done";
      yield event;
    }
  }
  if (!ended) throw new Error(UNREACHABLE);
}

// One request at a time on each side of the page: its button becomes Stop, and errors stand beside it.
export function runner(side, buttons) {
  let controller = null;
  get(`${side}-stop`).addEventListener("click", () => controller?.abort());
  return async (work) => {
    if (controller) return;
    controller = new AbortController();
    show(`${side}-alert`, "");
    show(`${side}-note`, "");
    const held = document.activeElement;
    for (const id of buttons) get(id).hidden = true;
    get(`${side}-stop`).hidden = false;
    if (buttons.includes(held?.id)) get(`${side}-stop`).focus();
    try {
      await work(controller.signal);
    } catch (error) {
      if (error.name === "AbortError") show(`${side}-note`, "Stopped.");
      else show(`${side}-alert`, error.message);
    } finally {
      controller = null;
      const stopFocused = document.activeElement === get(`${side}-stop`);
      get(`${side}-stop`).hidden = true;
      for (const id of buttons) get(id).hidden = false;
      if (stopFocused) get(buttons.includes(held?.id) ? held.id : buttons[0]).focus();
    }
  };
}

export function tellUnknown(side, words) {
  const told = words.map(({ word, read_as, similar }) =>
    `“${word}” is not in its vocabulary and is read as ${read_as || "nothing"}.` +
    (similar.length ? ` Similar words it knows: ${similar.join(", ")}.` : ""));
  show(`${side}-note`, told.join(" "));
}

export const waiting = (ahead) => (ahead ? `Waiting: ${ahead} before you.` : "Starting.");

export function chip(text, act) {
  const button = make("button", { type: "button", textContent: text });
  button.addEventListener("click", act);
  return button;
}
