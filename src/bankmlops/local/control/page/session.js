// Opens a session: with the code that `bankmlops ui` puts into the address, or with a token that a person gives.

import { element } from "./dom.js";

const CODE = /^#code=([\w-]{8,200})$/;

// The code works once, and leaves the address before anything else is read from it.
export async function openSession() {
  const found = CODE.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", `${location.pathname}#/`);
  await post({ Code: found[1] }, {}).catch(() => null);
}

async function post(body, headers) {
  const answer = await fetch("/session", {
    method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body), credentials: "same-origin",
  });
  if (answer.status === 401) throw new Error("This token opens nothing here: it is wrong, has expired or was revoked. `bankmlops tokens` makes one.");
  if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.error?.message ?? `the server answered HTTP ${answer.status}`);
}

export function signIn(onSuccess) {
  const complaint = element("p", { class: "problem", role: "alert", hidden: true });
  const input = element("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  async function submit(event) {
    event.preventDefault();
    try {
      await post({}, { Authorization: `Bearer ${input.value.trim()}` });
      onSuccess();
    } catch (error) {
      complaint.textContent = error.message;
      complaint.hidden = false;
      input.select();
    }
  }
  return element(
    "div", { class: "sign-in card" },
    element("h1", { id: "title", tabindex: -1 }, "Sign in"),
    element("p", {}, "This page shows a workspace to its owner alone. Open it with this command, which signs you in:"),
    element("pre", {}, element("code", {}, "bankmlops ui")),
    element("form", { onsubmit: submit },
      element("label", { for: "token" }, "Or give a token"), input, element("button", { type: "submit" }, "Sign in"), complaint),
  );
}
