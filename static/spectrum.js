// Comforts that no page needs: light or dark, copying, filters that stay open, a run that is told as it goes.
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
    if (document.querySelector("[data-copy]")) document.body.append(told);
  });

  // A button copies the text beside it, and says so to everybody. Without a clipboard the text is selected.
  const told = Object.assign(document.createElement("p"), { className: "visually-hidden" });
  told.setAttribute("role", "status");
  const copyText = async (source) => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      return "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      return document.execCommand("copy") ? "Copied" : "Selected: now press Ctrl+C";
    }
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    button.dataset.label ??= button.textContent;
    told.textContent = "";
    const result = await copyText(document.getElementById(button.dataset.copy));
    button.textContent = told.textContent = result;
    clearTimeout(button.back);
    button.back = setTimeout(() => { button.textContent = button.dataset.label; }, 2500);
  });

  // Filters that were folded open stay open when the list is replaced.
  const drawer = () => document.querySelector(".facet-drawer");
  let open = false;
  document.addEventListener("htmx:beforeSwap", () => { open = Boolean(drawer()?.open); });
  document.addEventListener("htmx:afterSwap", () => { if (drawer()) drawer().open = open; });

  // A word that was found as the beginning of others while it was typed stays one when a filter changes.
  document.addEventListener("htmx:configRequest", ({ detail }) => {
    const begun = new URLSearchParams(location.search).get("q");
    const changed = detail.triggeringEvent?.type === "change" && !detail.parameters.typing;
    if (changed && begun === `${detail.parameters.q}*`) detail.parameters.q = begun;
  });

  // Whoever submits a word means it whole: what would still be asked as its beginning is not.
  let submitted = null;
  document.addEventListener("htmx:configRequest", (event) => {
    const { parameters, triggeringEvent } = event.detail;
    if (triggeringEvent?.type === "submit") submitted = parameters.q;
    else if (parameters.typing && parameters.q === submitted) event.preventDefault();
    else submitted = null;
  });

  // Years can be dragged over: the span goes into its two fields, which anybody can also fill by hand.
  const yearOf = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest(".years a");
  let from, to;
  const mark = () => {
    const [first, last] = [from, to].map((one) => one.dataset.year).sort();
    document.querySelectorAll(".years a").forEach((one) => {
      one.toggleAttribute("data-dragged", from !== to && first <= one.dataset.year && one.dataset.year <= last);
    });
  };
  document.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch" && event.button === 0) from = to = event.target.closest?.(".years a");
  });
  document.addEventListener("pointermove", (event) => {
    const here = from && yearOf(event);
    if (here && here !== to) { to = here; mark(); }
  });
  document.addEventListener("dragstart", (event) => { if (from) event.preventDefault(); });
  document.addEventListener("click", (event) => { if (from && from !== to) event.preventDefault(); }, true);
  document.addEventListener("pointerup", () => {
    if (from && to && from !== to) {
      const [first, last] = [from, to].map((one) => one.dataset.year).sort();
      document.querySelector('input[type="hidden"][name="year"]')?.remove();
      document.getElementById("year-from").value = first;
      document.getElementById("year-to").value = last;
      document.getElementById("year-to").dispatchEvent(new Event("change", { bubbles: true }));
    }
    setTimeout(() => { from = to = undefined; });
  });

  // Choosing a paper to compare is no search: the filters' form does not hear of it.
  document.addEventListener("change", (event) => {
    if (event.target.form?.id === "compare") event.stopPropagation();
  }, true);

  // A log follows its end, unless its reader has scrolled up.
  const atEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  let follow = true;
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target?.matches("pre.log")) follow = atEnd(event.detail.target);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const log = event.detail.target;
    if (log?.matches("pre.log") && follow) log.scrollTop = log.scrollHeight;
    say();
  });

  // Screen readers hear of a run's state when it changes, and not of each percent.
  const say = () => {
    const [said, live] = [document.getElementById("said"), document.getElementById("live")];
    if (said && live && said.textContent !== live.dataset.said) said.textContent = live.dataset.said;
  };

  // A run's page is told what is new. Whenever it is not, htmx asks every other second: "poll" has it ask.
  const AGAIN_MS = 2000, COME_BACK_MS = 30000;
  const watch = (address) => {
    let events, asking, coming;
    const ask = () => { asking ??= setInterval(() => document.body.dispatchEvent(new Event("poll")), AGAIN_MS); };
    const rest = () => {
      clearInterval(asking);
      asking = undefined;
      document.querySelectorAll("#now, #log-place").forEach((one) => window.htmx?.trigger(one, "htmx:abort"));
    };
    const stop = () => { events?.close(); clearTimeout(coming); rest(); };
    const replace = ({ type, data }) => {
      rest();
      document.getElementById(type === "state" ? "live" : "traces").outerHTML = data;
      say();
    };
    const append = ({ data, lastEventId }) => {
      rest();
      const [log, place] = [document.getElementById("log"), document.getElementById("log-place")];
      const { attempt, offset, text } = JSON.parse(data);
      if (!log) return; // the page shows an earlier attempt
      // htmx has asked meanwhile, and is ahead: listen again, from where the log ends now.
      if (offset > 0 && place.value !== `${attempt}:${offset}`) { look(); return; }
      const end = atEnd(log);
      if (offset === 0) log.textContent = "";
      log.append(text);
      place.value = lastEventId;
      if (end) log.scrollTop = log.scrollHeight;
    };
    const listen = () => {
      ask();
      if (!window.EventSource) return;
      const place = document.getElementById("log-place")?.value ?? "";
      events = new EventSource(`${address}?from=${encodeURIComponent(place)}`);
      for (const type of ["state", "trace"]) events.addEventListener(type, replace);
      events.addEventListener("log", append);
      events.addEventListener("end", () => { stop(); location.reload(); });
      events.addEventListener("error", () => {
        ask();
        if (events.readyState === EventSource.CLOSED) coming = setTimeout(listen, COME_BACK_MS);
      });
    };
    // Of a browser's few connections, a tab that nobody sees keeps none.
    const look = () => { stop(); if (!document.hidden) listen(); };
    document.addEventListener("visibilitychange", look);
    look();
  };
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("pre.log").forEach((log) => { log.scrollTop = log.scrollHeight; });
    const watched = document.querySelector("[data-events]");
    if (watched) watch(watched.dataset.events);
  });
})();
