// Unpacks the Chromium of @sparticuz/chromium for the tests of the console's page.
//
// The package would unpack to the system's temporary folder, and trust a file that another process
// has half written there. So this unpacks once, to a folder named after the version, by a rename.

import { createReadStream, createWriteStream, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { arch, platform } from "node:process";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { createBrotliDecompress } from "node:zlib";
import { extract } from "tar-fs";

const modules = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "node_modules");
const source = join(modules, "@sparticuz", "chromium");
const { version } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
const cache = join(modules, ".cache");
const target = join(cache, `chromium-${version}`);

// The binary runs nowhere else.
if (platform === "linux" && arch === "x64" && !existsSync(target)) {
  mkdirSync(cache, { recursive: true });
  const unfinished = mkdtempSync(join(cache, "unpacking-"));
  try {
    const unpack = (name, sink) =>
      pipeline(createReadStream(join(source, "bin", `${name}.br`)), createBrotliDecompress(), sink);
    await Promise.all([
      unpack("chromium", createWriteStream(join(unfinished, "chromium"), { mode: 0o755 })),
      unpack("fonts.tar", extract(unfinished)),
      unpack("al2023.tar", extract(unfinished)),
    ]);
    // Without any font of the system, Chromium would crash.
    writeFileSync(join(unfinished, "fonts.conf"), `<fontconfig><dir>${join(target, "fonts")}</dir><dir>/usr/share/fonts</dir><cachedir>${join(target, "font-cache")}</cachedir></fontconfig>\n`);
    renameSync(unfinished, target);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    if (!existsSync(target)) throw error; // another process was quicker
  }
}
