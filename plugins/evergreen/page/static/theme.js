// Follow the theme that Airflow shows around this page, before anything is painted.
(() => {
  const outer = () => {
    try {
      const html = window.parent !== window ? window.parent.document.documentElement : null;
      if (html?.classList.contains("dark")) return "dark";
      if (html?.classList.contains("light")) return "light";
      const kept = localStorage.getItem("theme");
      if (kept === "dark" || kept === "light") return kept;
    } catch { /* framed by a stranger, or without storage */ }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  };
  const follow = () => {
    const theme = outer();
    if (document.documentElement.dataset.theme !== theme) {
      document.documentElement.dataset.theme = theme;
      document.dispatchEvent(new Event("theme"));
    }
  };
  follow();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);
  addEventListener("storage", follow);
  try {
    if (window.parent !== window) {
      new MutationObserver(follow).observe(window.parent.document.documentElement, { attributeFilter: ["class"] });
    }
  } catch { /* framed by a stranger */ }
})();
