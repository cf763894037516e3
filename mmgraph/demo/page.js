// The page of `mmgraph demo`: what it says about the run, and what the run offers to try.

import { get, make, send, show } from "/parts.js";
import { offerCaptions, offerWords } from "/draw.js";
import { offerPictures, offerQuestions } from "/ask.js";

const facts = new Map();
function fact(name, value) {
  if (value !== null && value !== undefined && value !== "") facts.set(name, value);
  get("facts").replaceChildren(...[...facts].map(([term, text]) => make("div", {}, make("dt", { textContent: term }), make("dd", {}, text))));
}

async function start() {
  const about = await (await send("/about")).json();
  document.title = `mmgraph demo: ${about.recipe ?? about.reference}`;
  get("recipe").textContent = about.recipe ?? about.reference;
  get("reference").textContent = `of ${about.reference}`;
  show("title", about.title);
  fact("Parameters", about.parameters.toLocaleString("en"));
  fact("Training", about.training_steps && `${about.training_steps.toLocaleString("en")} steps`);
  fact("Seed", about.seed === null ? "" : String(about.seed));
  fact("Pictures", about.size && `${about.size} × ${about.size} px as ${about.visual_tokens} tokens`);
  if (about.report) fact("Report", make("a", { href: "/report", target: "_blank", rel: "noopener", textContent: "what it scored" }));
  show("seen-as", about.size ? `It is shown as the model sees it: ${about.size} × ${about.size} pixels.` : "");
  get("guidance").value = about.sampling.guidance;
  get("guidance-value").value = Number(get("guidance").value).toFixed(1);
  get("steps").value = about.sampling.steps;
  offerWords(about.words);
  if (about.refusals.draw) { show("draw-alert", `It cannot draw: ${about.refusals.draw}`); get("draw-button").disabled = true; }
  if (about.refusals.ask) { show("ask-alert", `It cannot answer: ${about.refusals.ask}`); get("ask-button").disabled = true; }
  if (about.refusals.name) get("name-button").disabled = true;

  let offered;
  do offered = await (await send("/examples")).json(); while (!offered.ready);
  if (offered.missing) {
    get("draw-examples").replaceChildren();
    show("page-alert", `No examples from the data: ${offered.missing}`);
    return;
  }
  fact("Protocol", offered.protocol);
  fact("Trained on", offered.description);
  fact("Tasks", offered.tasks.join(", "));
  show("credits", offered.credits);
  offerCaptions(offered.captions);
  offerQuestions(offered.questions);
  await offerPictures(offered.pictures);
}

start().catch((error) => show("page-alert", error.message));
