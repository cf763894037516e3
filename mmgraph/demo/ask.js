// Asking and naming: a picture is chosen, its tokens are shown as they come.

import { bitmap, chip, events, get, make, percent, picture, pngOf, runner, send, show, tellUnknown, waiting } from "/parts.js";
import { drawing, drawnCanvas } from "/draw.js";

const asking = { png: null, truth: null };
const tell = runner("ask", ["ask-button", "name-button"]);
let commonQuestions = []; // asked of pictures about which the data asks nothing

function look(canvas, label, truth = null) {
  asking.png = pngOf(canvas);
  asking.truth = truth;
  const target = get("shown");
  target.width = canvas.width;
  target.height = canvas.height;
  target.getContext("2d").drawImage(canvas, 0, 0);
  target.setAttribute("aria-label", label);
  show("shown-label", label);
  show("ask-alert", "");
  showQuestions(truth?.questions.map((question) => question.text) ?? commonQuestions);
  clearAnswer();
}

function takeDrawn() {
  for (const other of get("gallery").children) other.setAttribute("aria-pressed", "false");
  look(drawnCanvas(), `Drawn: ${drawing.caption}`);
}

get("take-drawn").addEventListener("click", takeDrawn);
get("ask-about").addEventListener("click", () => {
  takeDrawn();
  get("ask-heading").scrollIntoView({ block: "nearest" });
  get("question").focus();
});

get("upload").addEventListener("change", async () => {
  const [file] = get("upload").files;
  if (!file) return;
  show("ask-alert", "");
  try {
    if (file.size > 5 * 2 ** 20) throw new Error("that picture is larger than 5 MB; make it smaller first.");
    const response = await send("/picture", { method: "POST", headers: { "Content-Type": file.type || "application/octet-stream" }, body: file });
    const seen = picture(await bitmap((await response.json()).picture));
    for (const other of get("gallery").children) other.setAttribute("aria-pressed", "false");
    look(seen, `Yours: ${file.name}`);
  } catch (error) {
    show("ask-alert", error.message);
  }
  get("upload").value = "";
});

get("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = get("question").value.trim();
  if (!question) return show("ask-alert", "Write a question, or let it name the picture.");
  ask(question);
});
get("name-button").addEventListener("click", () => ask(null));

function clearAnswer() {
  get("answer").replaceChildren();
  get("tokens").replaceChildren();
  show("truth", "");
}

function ask(question) {
  if (!asking.png) return show("ask-alert", "Choose a picture first: a test picture, the last drawn one, or your own.");
  tell(async (signal) => {
    const { truth, png } = asking;
    clearAnswer();
    for await (const event of events("/tell", question === null ? { picture: png } : { picture: png, question }, signal)) {
      if (event.event === "queued" && event.ahead) show("ask-note", waiting(event.ahead));
      if (event.event === "unknown") tellUnknown("ask", event.words);
      if (event.event === "token") get("tokens").append(token(event));
      if (event.event === "done") {
        const sure = make("small", { textContent: ` probability ${percent(event.probability)}` });
        get("answer").replaceChildren(event.text || "(it said nothing)", sure);
        const known = question === null ? truth?.name : truth?.questions.find((own) => own.text === question)?.answer;
        show("truth", known ? `In the data: ${known}` : "");
      }
    }
  });
}

function word({ text, end }) {
  return end ? make("span", { className: "end", textContent: "(end)" }) : make("span", { textContent: text.trim() ? text : JSON.stringify(text) });
}

function token(event) {
  const others = event.alternatives.map((other) => {
    const fill = make("i");
    fill.style.width = `${100 * other.probability}%`;
    return make("li", {}, word(other), make("span", { textContent: percent(other.probability) }), make("span", { className: "bar" }, fill));
  });
  const sure = make("span", { className: "share", textContent: percent(event.probability) });
  return make("li", {}, make("strong", {}, word(event)), " ", sure, make("ol", {}, ...others));
}

// -- what to try ------------------------------------------------------------------------------------------------

export function offerQuestions(texts) {
  commonQuestions = texts;
  showQuestions(texts);
}

function showQuestions(texts) {
  get("questions").replaceChildren(...texts.map((text) => chip(text, () => { get("question").value = text; ask(text); })));
}

export async function offerPictures(pictures) {
  const buttons = await Promise.all(pictures.map(async (known, index) => {
    const canvas = picture(await bitmap(known.picture));
    const button = make("button", { type: "button" }, canvas);
    button.setAttribute("aria-label", `Test picture ${index + 1}`);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      for (const other of get("gallery").children) other.setAttribute("aria-pressed", String(other === button));
      look(canvas, `Test picture ${index + 1}`, known);
    });
    return button;
  }));
  get("gallery").replaceChildren(...buttons);
  get("gallery-box").hidden = !buttons.length;
}
