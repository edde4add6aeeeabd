// A form is sent once: a browser whose button is pressed again throws the first answer away, with the cookie, the key
// or the codes that it brings.
const AGAIN_AFTER_MS = 10_000; // an answer that is a file leaves the page as it is, and so does one that never came
const under_way = new Map();

addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  if (event.defaultPrevented || form.getAttribute("method") !== "post") return; // a script of its own sends it
  if (under_way.has(form)) {
    event.preventDefault();
    return;
  }
  submitter?.setAttribute("aria-disabled", "true"); // a button that is disabled would lose the focus
  under_way.set(form, { submitter, timer: setTimeout(() => end(form), AGAIN_AFTER_MS) });
});

// By the button "back" the page comes as it was left.
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const form of [...under_way.keys()]) end(form);
});

function end(form) {
  const { submitter, timer } = under_way.get(form);
  clearTimeout(timer);
  submitter?.removeAttribute("aria-disabled");
  under_way.delete(form);
}
