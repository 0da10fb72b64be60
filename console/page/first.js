// Runs before the modules of the page, so that none of them can leave it blank without a word.

// Everything is written for one locale. The browser's own may be one that its `Intl` refuses: in
// the locale `C`, Chromium calls it "en-US@posix", and uPlot gave up with all that imports it.
Object.defineProperty(navigator, "language", { value: "en-GB" });

addEventListener("error", (event) => {
  // A browser reports a size that it settles one frame later in this way. Nothing is wrong then.
  if (event.message?.startsWith("ResizeObserver loop")) return;
  const { src } = event.target;
  tell(src ? `${new URL(src).pathname} or a part of it could not be loaded` : event.message);
}, true); // only the capturing phase has scripts that could not be loaded
addEventListener("unhandledrejection", ({ reason }) => tell(String(reason)));

function tell(problem) {
  const alert = document.getElementById("defect");
  alert.hidden = false;
  alert.textContent = `This page has failed, and what it shows may be wrong or old: ${problem}. Reload it.`;
}
