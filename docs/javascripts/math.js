// Loads KaTeX only where a page has formulas; everything comes from this site.
(function () {
  const here = new URL(".", document.currentScript.src);
  function load() {
    const formulas = document.querySelectorAll(".arithmatex");
    if (!formulas.length) return;
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("katex/katex.min.css", here);
    const script = document.createElement("script");
    script.src = new URL("katex/katex.min.js", here);
    script.onload = () => formulas.forEach((formula) => {
      const text = formula.textContent.trim();
      katex.render(text.slice(2, -2), formula, { displayMode: text.startsWith("\\["), throwOnError: true });
    });
    document.head.append(style, script);
  }
  // glightbox and the search worker do not need to wait for formulas
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", load);
  else load();
})();
