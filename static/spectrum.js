// Comforts that no page needs: light or dark, copying, filters that stay open, a log that follows its end.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const remember = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* private mode */ } };
  const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  if (remembered()) root.dataset.theme = remembered();

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      remember(root.dataset.theme);
    });
    document.querySelectorAll("[data-copy]").forEach((copy) => {
      copy.hidden = false;
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent);
        copy.textContent = "Copied";
      });
    });
  });

  // Filters that were folded open stay open when the list is replaced.
  const drawer = () => document.querySelector(".facet-drawer");
  let open = false;
  document.addEventListener("htmx:beforeSwap", () => { open = Boolean(drawer()?.open); });
  document.addEventListener("htmx:afterSwap", () => { if (drawer()) drawer().open = open; });

  const atEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  let follow = true;
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.matches("pre.log")) follow = atEnd(event.detail.target);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const log = event.detail.target;
    if (log.matches("pre.log") && follow) log.scrollTop = log.scrollHeight;
  });
})();
