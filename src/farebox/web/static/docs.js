// Loads Swagger in place of the reference when a call is to be tried: it is large, and whoever only reads needs none of it.
const [reference, trying, place, wrong] = ["reference", "trying", "swagger", "try-wrong"].map((id) => document.getElementById(id));
const FRAMES_MAX = 300; // that Swagger is given to draw what was asked for
let swagger = null; // the promise of it
let from = null; // the button that led there

for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", () => (button.ariaBusy ? null : begin(button)));
}
document.getElementById("back").addEventListener("click", () => {
  show(reference, trying);
  from.scrollIntoView({ block: "center", behavior: "instant" });
  from.focus({ preventScroll: true });
});

async function begin(button) {
  wrong.textContent = "";
  button.ariaBusy = "true";
  try {
    swagger ??= load();
    const { ui, root } = await swagger;
    from = button;
    show(trying, reference);
    scrollTo({ top: 0, behavior: "instant" });
    await (button.dataset.name ? open(ui, root, button.dataset) : authorize(root));
  } catch (error) {
    swagger = null;
    place.shadowRoot?.replaceChildren();
    wrong.textContent = "The form to try it with could not be loaded. Check your connection, and press again.";
    console.error(error);
  } finally {
    button.ariaBusy = null;
  }
}

function show(one, other) {
  one.hidden = false;
  other.hidden = true;
}

async function authorize(root) {
  if (!root.querySelector(".dialog-ux")) (await seen(root, ".btn.authorize")).click();
  (await seen(root, ".dialog-ux .modal-ux-content :is(input, button)")).focus();
}

async function open(ui, root, { tag, name }) {
  ui.layoutActions.show(["operations-tag", tag], true);
  ui.layoutActions.show(["operations", tag, name], true);
  const operation = await seen(root, `[id="operations-${CSS.escape(tag)}-${CSS.escape(name)}"].is-open`);
  operation.scrollIntoView({ block: "start", behavior: "instant" });
  operation.querySelector(".opblock-summary-control").focus({ preventScroll: true });
}

async function seen(root, selector) {
  for (let frame = 0; frame < FRAMES_MAX; frame += 1) {
    const node = root.querySelector(selector);
    if (node) return node;
    await new Promise(requestAnimationFrame);
  }
  throw new Error(`there is no ${selector}`);
}

// Behind a shadow root, so that neither its style nor ours reaches the other.
async function load() {
  const { openapi, script, sheet, more } = place.dataset;
  const [spec, ...sheets] = await Promise.all([get(openapi), get(sheet), get(more), run(script)]);
  const root = place.shadowRoot ?? place.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = sheets.slice(0, 2).map(styled);
  const domNode = root.appendChild(document.createElement("div"));
  const ui = await new Promise((resolve) => {
    const made = SwaggerUIBundle({
      spec: JSON.parse(spec),
      domNode,
      persistAuthorization: true,
      showCommonExtensions: true,
      tryItOutEnabled: true,
      presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
      onComplete: () => resolve(made),
    });
  });
  return { ui, root };
}

async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} was answered with ${answer.status}`);
  return answer.text();
}

function run(address) {
  return new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: address, onload: resolve, onerror: reject });
    document.head.append(script);
  });
}

function styled(text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text.replaceAll("html.dark-mode", ":host(.dark)"));
  return sheet;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => place.classList.toggle("dark", dark.matches);
dark.addEventListener("change", paint);
paint();
