// A dialog that asks before something is done, does it, and shows the answer.

import { html, mark } from "./dom.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {import("./dom.js").Child[]} about What will happen.
 * @property {HTMLElement[]} [fields]
 * @property {string} confirm The label of the button that does it.
 * @property {() => Promise<import("./dom.js").Child[]>} [look] Finds out something first, and returns what to show of it.
 * @property {(values: Record<string, string>) => Promise<{good: boolean, text: import("./dom.js").Child[]}>} run
 */

/** Ask. Resolves when the dialog is closed, with whether something was done. @param {Question} question */
export function ask({ title, about, fields = [], confirm, look, run }) {
  const submit = html("button.primary", { type: "submit", disabled: Boolean(look) }, confirm);
  const cancel = html("button", { type: "button" }, "Cancel");
  const answer = html("div.answer", { role: "status", tabindex: "-1" });
  const body = html("div.dialog-body", {}, ...about.map((text) => html("p", {}, text)));
  const form = html("form", {}, body, fields, answer, html("div.actions", {}, submit, cancel));
  const dialog = /** @type {HTMLDialogElement} */ (html("dialog", { "aria-labelledby": "dialog-title" },
    html("h2", { id: "dialog-title" }, title), form));
  let done = false;

  cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries([...new FormData(/** @type {HTMLFormElement} */ (form))].map(([name, value]) => [name, String(value)]));
    submit.toggleAttribute("disabled", true);
    tell(answer, "busy", ["Working…"]);
    try {
      const { good, text } = await run(values);
      done = true;
      tell(answer, good ? "ok" : "alarm", text);
      submit.remove();
      for (const field of fields) field.remove();
      body.remove();
      cancel.textContent = "Close";
      cancel.focus();
    } catch (error) {
      tell(answer, "failed", [error.message]);
      submit.toggleAttribute("disabled", false);
    }
  });

  document.body.append(dialog);
  dialog.showModal();
  if (look) {
    tell(answer, "busy", ["Looking…"]);
    look().then(
      (text) => {
        tell(answer, "seen", text);
        submit.toggleAttribute("disabled", false);
      },
      (error) => tell(answer, "failed", [error.message]),
    );
  }
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
  });
}

function tell(answer, kind, text) {
  const name = { ok: "ok", alarm: "alarm", failed: "unreachable" }[kind];
  answer.className = `answer is-${kind}`;
  answer.replaceChildren(...[name && mark(name), html("div", {}, ...text)].filter(Boolean));
}

/** @param {string} label @param {string} name @param {Record<string, unknown>} attributes */
export function textField(label, name, attributes = {}) {
  return html("label.field", {}, label, html("input", { name, ...attributes }));
}

export function textArea(label, name, value) {
  return html("label.field", {}, label, html("textarea", { name, rows: 4, required: true, spellcheck: "false" }, value));
}

/** @param {Array<[string, string]>} options Value and text. */
export function choiceField(label, name, options, chosen) {
  return html("label.field", {}, label, html("select", { name },
    options.map(([value, text]) => html("option", { value, selected: value === chosen }, text))));
}
