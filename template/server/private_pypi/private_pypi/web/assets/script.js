// What the pages cannot do alone: search, copy, and show the address that this browser uses.
// Text of packages goes into the page as text only, never as HTML.
"use strict";

const site = new URL(document.documentElement.dataset.root, location.href);
site.username = site.password = site.search = site.hash = "";

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/* The address: a proxy or a tunnel may give the site another one than its settings say. */

const parts = { url: site.href.replace(/\/$/, ""), host: site.hostname };
for (const span of document.querySelectorAll("[data-part]")) {
  span.textContent = parts[span.dataset.part];
}

/* Search */

const LIMIT = 50;
const FAILED = "The list of projects did not load: reload the page.";

// As in names of projects, hyphen, underscore and dot are one.
const fold = (text) => text.toLowerCase().replace(/[-_.]+/g, "-");

// Once for each project, so that a key costs no more than a look at each text.
function prepare([name, version, summary, keywords]) {
  return { name, version, summary, key: fold(name), text: fold(`${name} ${summary} ${keywords}`) };
}

// All projects that have all words: by exact name, start of the name, name, and the rest.
function find(projects, query) {
  const words = fold(query).split(/\s+/).filter(Boolean);
  const whole = words.join("-");
  const ranks = [[], [], [], []];
  for (const project of projects) {
    const { key, text } = project;
    if (!words.every((word) => text.includes(word))) continue;
    let rank = 3;
    if (key === whole) rank = 0;
    else if (key.startsWith(whole)) rank = 1;
    else if (words.every((word) => key.includes(word))) rank = 2;
    ranks[rank].push(project);
  }
  return ranks.flat();
}

function summarise(found, query) {
  if (found === 0) return `No project matches “${query}”.`;
  if (found > LIMIT) return `Showing ${LIMIT} of ${found.toLocaleString("en")}`;
  return found === 1 ? "1 project" : `${found} projects`;
}

function row({ name, version, summary }) {
  const href = new URL(`project/${encodeURIComponent(name)}/`, site).href;
  return element("li", {}, element("a", { href }, name), ` ${version}`, element("p", {}, summary));
}

function startSearch(form) {
  const box = form.querySelector("input");
  const status = form.querySelector("[role=status]");
  const list = form.querySelector("ul");

  function show(text, projects = []) {
    status.textContent = text;
    list.replaceChildren(...projects.map(row));
    form.classList.toggle("open", text !== "");
  }

  let projects;
  let failure = "";

  async function load() {
    try {
      const answer = await fetch(new URL("search.json", site));
      if (!answer.ok) throw new Error(`search.json: ${answer.status}`);
      projects = (await answer.json()).map(prepare);
    } catch {
      failure = FAILED;
    }
    search();
  }

  function search() {
    const query = box.value.trim();
    if (!projects || !query) {
      show(failure);
      return;
    }
    const start = performance.now();
    const found = find(projects, query);
    show(summarise(found.length, query), found.slice(0, LIMIT));
    performance.measure("search", { start });
  }

  // From the box through the links, and back.
  function step(by) {
    const stops = [box, ...list.querySelectorAll("a")];
    stops[stops.indexOf(document.activeElement) + by]?.focus();
  }

  form.hidden = false;
  box.addEventListener("focus", load, { once: true });
  box.addEventListener("focus", search);
  box.addEventListener("input", search);
  form.addEventListener("keydown", (event) => {
    if (!form.classList.contains("open")) return;
    if (event.key === "ArrowDown") step(1);
    else if (event.key === "ArrowUp") step(-1);
    else if (event.key === "Escape") {
      // In this order: the box searches when it gets the focus.
      box.focus();
      show("");
    } else return;
    event.preventDefault();
  });
  // Not on "focusout" alone: Safari takes the focus from the box before a click on a link arrives.
  for (const name of ["pointerdown", "focusin"]) {
    document.addEventListener(name, ({ target }) => form.contains(target) || show(""));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    box.focus();
    box.select();
  });

  const asked = new URLSearchParams(location.search).get("q");
  if (asked) {
    box.value = asked;
    box.focus();
  }
}

document.querySelectorAll("form.search").forEach(startSearch);

/* Copy */

const news = element("p", { className: "unseen", role: "status" });
document.body.append(news);

async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    // Over plain HTTP there is no clipboard. What stays selected can be copied by hand, too.
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

for (const source of document.querySelectorAll("[data-copy]")) {
  const ariaLabel = `Copy ${source.dataset.copy}`;
  const button = element("button", { type: "button", className: "copy", ariaLabel }, "Copy");
  button.addEventListener("click", async () => {
    const text = (await copy(source)) ? "Copied" : "Selected";
    button.textContent = news.textContent = text;
    setTimeout(() => {
      button.textContent = "Copy";
      news.textContent = "";
    }, 2000);
  });
  (source.closest("pre") ?? source).after(button);
}

/* Wide boxes: the keyboard reaches those that scroll, and skips the others. */

for (const table of document.querySelectorAll(".description table")) {
  const box = element("div", { className: "scroll" });
  table.replaceWith(box);
  box.append(table);
}

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll("pre, .scroll, .description").forEach((box) => sizes.observe(box));
