// Searching for an option: lunr reads a leading minus as "without this word".
document.addEventListener("input", (event) => {
  if (event.target.matches?.('[data-md-component="search-query"]')) {
    const plain = event.target.value.replace(/(^|\s)-+(?=\S)/g, "$1");
    if (plain !== event.target.value) event.target.value = plain;
  }
}, true);
// Wide tables, formulas, plots and blocks of code scroll by keyboard too.
const SCROLLING = '.md-typeset__scrollwrap, .formula, .md-typeset pre > code, .md-typeset p:has(> img[src*="plots/"])';
document$.subscribe(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  for (const box of document.querySelectorAll(SCROLLING)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
});
