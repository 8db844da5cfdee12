// The queue by keyboard. Every key does what something on the page does anyway; none is heard in a field.
(() => {
  const entries = () => [...document.querySelectorAll("[data-entry]")];
  const typing = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";
  let here; // the id of the entry that keys are about: it outlives a swap by htmx

  const current = () => document.getElementById(here ?? "");
  const focus = (entry) => {
    here = entry.id;
    entry.focus({ preventScroll: true });
    entry.scrollIntoView({ block: "start" });
  };
  const step = (by) => {
    const all = entries();
    const at = all.indexOf(current());
    const next = at < 0 ? all[0] : all[Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) focus(next);
  };
  // Opens the form and goes to what it still lacks: a technique, the paper, the reason; else to its button.
  const open = (key) => {
    const form = current()?.querySelector(`form[data-key="${key}"]`);
    if (!form) return;
    form.closest("details").open = true;
    const boxes = [...form.querySelectorAll("input[type=checkbox]")];
    const ticks = boxes.length && !boxes.some((box) => box.checked) ? boxes[0] : null;
    const empty = [...form.querySelectorAll("[required]")].find((field) => !field.value);
    (ticks ?? empty ?? form.querySelector("button")).focus();
  };
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    a: () => open("a"),
    m: () => open("m"),
    r: () => open("r"),
    x: () => current()?.querySelector("[data-select]")?.click(),
    "?": () => document.getElementById("keys").showModal(),
  };

  document.addEventListener("focusin", (event) => {
    here = event.target.closest?.("[data-entry]")?.id ?? here;
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && event.target.closest("[data-entry]")) focus(event.target.closest("[data-entry]"));
    if (event.target.matches(typing) || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest?.("[data-press]");
    if (pressed) keys[pressed.dataset.press]();
  });
  // What htmx replaced by its decision has the focus again, and is read out.
  document.addEventListener("htmx:afterSettle", () => { if (current()?.matches("[data-entry]")) focus(current()); });
})();
