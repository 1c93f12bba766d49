"use strict";
(() => {
  const root = document.documentElement, button = document.getElementById("theme"), key = "snnas-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem(key); } catch { /* a page from a file may have no storage */ }
  const show = () => {
    const theme = chosen === "dark" || chosen === "light" ? chosen : dark.matches ? "dark" : "light";
    if (chosen) root.dataset.theme = theme;
    const other = theme === "dark" ? "light" : "dark";
    button.textContent = other === "dark" ? "Dark" : "Light";
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
    return other;
  };
  button.addEventListener("click", () => {
    chosen = show();
    try { localStorage.setItem(key, chosen); } catch { /* kept for this view only */ }
    show();
  });
  dark.addEventListener("change", show);
  button.hidden = false;
  show();
})();
