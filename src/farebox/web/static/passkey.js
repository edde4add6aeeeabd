// Passkeys: the server's question goes to the authenticator, and its answer goes back with the form.
const words = {
  InvalidStateError: "This device already has a passkey here.",
  NotAllowedError: "No passkey was used. Try again.",
  SecurityError: "A passkey works only at the web address it was made for, and not at a bare number.",
};

const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const toText = (bytes) =>
  bytes && btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
const listed = (all) => all?.map((one) => ({ ...one, id: toBytes(one.id) }));

function question(said) {
  const publicKey = { ...said, challenge: toBytes(said.challenge) };
  if (said.user) publicKey.user = { ...said.user, id: toBytes(said.user.id) };
  if (said.excludeCredentials) publicKey.excludeCredentials = listed(said.excludeCredentials);
  if (said.allowCredentials) publicKey.allowCredentials = listed(said.allowCredentials);
  return { publicKey };
}

function answer({ id, rawId, type, response }) {
  const said = { clientDataJSON: toText(response.clientDataJSON) };
  if (response.attestationObject) {
    said.attestationObject = toText(response.attestationObject);
    said.transports = response.getTransports?.() ?? [];
  } else {
    said.authenticatorData = toText(response.authenticatorData);
    said.signature = toText(response.signature);
    if (response.userHandle?.byteLength) said.userHandle = toText(response.userHandle);
  }
  return JSON.stringify({ id, rawId: toText(rawId), type, response: said });
}

async function ask(form) {
  const response = await fetch(form.dataset.passkey, { method: "POST", headers: { accept: "application/json" } });
  if (response.redirected) {
    location.assign(response.url); // to show first that it is you
    return new Promise(() => {});
  }
  const said = await response.json();
  if (!response.ok) throw new Error(said.detail);
  const asked = question(said);
  return answer(await (said.user ? navigator.credentials.create(asked) : navigator.credentials.get(asked)));
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const told = form.querySelector("[role=alert]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    told.textContent = "";
    try {
      if (!window.PublicKeyCredential) throw new Error("This browser cannot use passkeys here.");
      form.elements.answer.value = await ask(form);
      form.submit();
    } catch (error) {
      told.textContent = words[error.name] ?? error.message;
    }
  });
}
