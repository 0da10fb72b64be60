// What an operator can do to a business. Each asks first, and shows the answer.

import { businessPath, change } from "./api.js";
import { ask, choiceField, textArea, textField } from "./dialog.js";
import { html } from "./dom.js";
import { clock, plural, seconds } from "./format.js";
import { statusLabel } from "./words.js";

const PAUSES = [["900", "15 minutes"], ["1800", "30 minutes"], ["3600", "1 hour"], ["7200", "2 hours"], ["14400", "4 hours"], ["43200", "12 hours"], ["86400", "1 day"]];

// What a report of the cleanup counts.
const DONE = {
  gone: "Real connections removed because their sockets are gone",
  silent: "Real connections closed and removed because they are silent",
  expired: "Virtual connections removed because their leases are over",
  recorded: "Transitions recorded that only time caused",
  attentionEntered: "Businesses reported because they newly need attention",
};
const LEFT = {
  unknown: "Connections left alone because their sockets could not be checked",
  tooYoung: "Connections left alone because they have only just begun",
  refused: "Connections left alone because no more may be removed at once",
  failed: "Connections or businesses that could not be handled",
  unreadable: "Stored items that could not be read",
  unrecorded: "Transitions that could not be recorded",
};

/** By the value of `data-action`. Each resolves with whether something was done. */
export const OPERATOR_ACTIONS = { pause, resume, push, close, cleanUp };

function pause({ business, reason = "" }) {
  return ask({
    title: `Pause ${business}`,
    about: ["Customers cannot order until the pause ends. Nobody is disconnected. Only an operator can end it early."],
    fields: [
      textField("Reason (the business is told)", "reason", { required: true, maxlength: 200, value: reason, autocomplete: "off" }),
      choiceField("For", "seconds", PAUSES, "3600"),
    ],
    confirm: "Pause",
    run: async (values) => {
      const until = new Date(Date.now() + 1000 * Number(values.seconds)).toISOString().replace(/\.\d+Z/, "Z");
      const status = await change("PUT", businessPath(business, "pause"), { until, reason: values.reason });
      return { good: true, text: [`Paused until ${clock(seconds(status.pausedUntil))}. Its status is ${statusLabel(status.overallStatus)}.`] };
    },
  });
}

function resume({ business }) {
  return ask({
    title: `Resume ${business}`,
    about: ["The pause ends now. Customers can order again if the business is available and within its opening hours."],
    confirm: "Resume",
    run: async () => {
      const status = await change("DELETE", businessPath(business, "pause"));
      return { good: true, text: [`The pause is over. Its status is ${statusLabel(status.overallStatus)}.`] };
    },
  });
}

function push({ business }) {
  const key = crypto.randomUUID(); // a second attempt after a lost answer sends nothing twice
  return ask({
    title: `Push a message to ${business}`,
    about: ["Every device that is connected receives it."],
    fields: [textArea("Message (JSON)", "body", '{"text": "Please check your device."}')],
    confirm: "Push",
    run: async ({ body }) => {
      const answer = await change("POST", businessPath(business, "messages"), parsed(body), { "Idempotency-Key": key });
      if (!answer.reached) return { good: false, text: ["It reached nobody. Call the merchant."] };
      const missed = answer.gone + answer.failed;
      return { good: true, text: [`Sent to ${plural(answer.sent, "device")}${missed ? `; not to ${missed}` : ""}.`] };
    },
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error.message}`, { cause: error });
  }
}

function close({ business, connection }) {
  return ask({
    title: `Close a connection of ${business}`,
    about: [`Connection ${connection} is closed and removed. A device that works connects again by itself.`],
    confirm: "Close it",
    run: async () => {
      await change("DELETE", businessPath(business, `connections/${encodeURIComponent(connection)}`));
      return { good: true, text: ["The connection is closed."] };
    },
  });
}

function cleanUp({ business }) {
  const run = (dryRun) => change("POST", businessPath(business, "cleanup"), { dryRun });
  return ask({
    title: `Clean up ${business}`,
    about: ["Removes its dead connections now, as the scheduled cleanup does. This is what it would do:"],
    confirm: "Clean up now",
    look: async () => report(await run(true), "It would change nothing."),
    run: async () => {
      const done = await run(false);
      return { good: done.complete, text: report(done, "Nothing had to be changed.") };
    },
  });
}

function report(document, nothing) {
  const lines = (words) => Object.entries(words).filter(([name]) => document[name])
    .map(([name, text]) => html("li", {}, `${text}: `, html("b", {}, document[name])));
  const [done, left] = [lines(DONE), lines(LEFT)];
  const seen = `Looked at ${plural(document.real, "real connection")} and ${plural(document.virtual, "virtual connection")}. `;
  return [
    html("p", {}, seen, done.length ? null : nothing, document.complete ? null : " It could not look at everything."),
    done.length + left.length ? html("ul", {}, done, left) : null,
  ].filter(Boolean);
}
