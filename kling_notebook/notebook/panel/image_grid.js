// The panel's images: groups of thumbnails, or labeled grids of them, to select, enlarge, compare and download.
// The kernel sends what there is to show: `groups` as a trait, images and details in messages, each once. What is
// selected and open is known to the page alone. Every text becomes a text node, never markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
function save(name, bytes) {
  const url = URL.createObjectURL(new Blob([bytes]));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
const NEAREST = { block: "nearest" };
const cellsOf = (groups) => groups.flatMap((group) => group.cells.flat());
// What the kernel has sent: the tiles of each cell, their thumbnails and large images, and details by name.
class Store {
  constructor(model) {
    Object.assign(this, { model, tiles: new Map(), small: new Map(), large: new Map(), details: new Map() });
    Object.assign(this, { progress: new Map(), asked: new Set(), views: new Set() });
    model.on("msg:custom", (message, buffers) => this.receive(message, [...buffers]));
    model.on("change:groups", () => this.regroup());
    this.regroup();
  }
  get groups() { return this.model.get("groups"); }
  send(what, content) { this.model.send({ do: what, ...content }); }
  regroup() {
    const cells = new Set(cellsOf(this.groups));
    for (const cell of this.tiles.keys()) if (!cells.has(cell)) this.forget(cell);
    const missing = [...cells].filter((cell) => !this.tiles.has(cell));
    if (missing.length) this.send("cells", { cells: missing });
    this.redraw();
  }
  forget(cell) {
    for (const { id } of this.tiles.get(cell)) {
      for (const images of [this.small, this.large]) URL.revokeObjectURL(images.get(id));
      for (const kept of [this.small, this.large, this.asked]) kept.delete(id);
    }
    this.tiles.delete(cell);
  }
  receive(message, buffers) {
    const url = () => URL.createObjectURL(new Blob([buffers.shift()], { type: "image/jpeg" }));
    if (message.echo) return this.send("echo", message);
    if (message.file) return save(message.file, buffers[0]);
    for (const { cell, tiles } of message.cells ?? []) {
      this.tiles.set(cell, tiles);
      for (const tile of tiles) if (tile.sent) this.small.set(tile.id, url());
    }
    if (message.progress) return this.advance(Object.entries(message.progress));
    if (message.large) this.large.set(message.large, url());
    if (message.detail) this.details.set(message.name, message.detail);
    this.redraw();
  }
  advance(lines) { // a bar alone is drawn anew: a recipe that is read beside it stays as it was scrolled and selected
    for (const [key, line] of lines) this.progress.set(key, line);
    for (const view of this.views) for (const [key] of lines) view.advance(key);
  }
  source(id, large) {
    if (large && !this.asked.has(id)) this.send("large", { tile: id });
    if (large) this.asked.add(id);
    return (large && this.large.get(id)) || this.small.get(id);
  }
  redraw() { for (const view of this.views) view.held ? (view.late = true) : view.draw(); }
}
class View {
  constructor(store, el) {
    store.views.add(this);
    Object.assign(this, { store, el, selected: null, chosen: null, open: null, page: 0, keys: "", told: "" });
    Object.assign(this, { held: false, late: false });
    this.kind = store.model.get("kind");
    this.body = element("div", { class: "kling-groups" });
    this.bar = element("div", { class: "kling-bar" });
    this.status = element("div", { class: "kling-status", role: "status" });
    const close = (event) => event.target.closest("pre, h4") ?? this.select(this.selected, null);
    this.over = element("div", { class: "kling-over", popover: "manual", onclick: close });
    const turned = () => this.draw(Number(this.range.value));
    this.range = element("input", { type: "range", "data-focus": "slider", oninput: turned });
    this.slider = element("label", { class: "kling-slider" }, "", this.range, "");
    el.classList.add("kling-images", `kling-${this.kind}`);
    el.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own meaning of arrows and Escape
    el.addEventListener("keydown", (event) => this.keyed(event));
    // A browser drops a press whose button is replaced before it is released: until then what is drawn stays.
    const release = () => setTimeout(() => { // after the click that it makes
      this.held = false;
      if (this.late) this.draw(); // and only then: it would undo a selection of text
    });
    const hold = () => {
      this.held = true;
      const ends = ["pointerup", "pointercancel", "contextmenu", "keyup", "blur"];
      for (const end of ends) addEventListener(end, release, { once: true });
    };
    for (const begin of ["pointerdown", "keydown"]) el.addEventListener(begin, hold, true);
    el.append(...(this.kind === "sweep" ? [this.slider, this.bar] : []), this.body, this.over);
    new ResizeObserver(() => this.place()).observe(el);
  }
  get groups() { return this.kind === "sweep" ? this.store.groups.slice(this.page, this.page + 1) : this.store.groups; }
  get tiles() { return cellsOf(this.groups).flatMap((cell) => this.store.tiles.get(cell) ?? []); }
  tile(id) { return this.tiles.find((tile) => tile.id === id); }
  find(id) { return this.body.querySelector(`[data-tile="${CSS.escape(id)}"]`); }
  draw(page = this.page) { // all of it anew, and the focus back to what had it
    this.late = false;
    const focus = this.el.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    const groups = this.store.groups;
    const fresh = this.keys !== (this.keys = groups.map((group) => group.cells.length && group.key).join()) && !focus;
    if (fresh) this.selected = this.open = null; // there are new images: the newest is selected, and seen
    this.page = Math.max(0, Math.min(page, groups.length - 1));
    const first = this.kind === "history" ? null : (this.tiles.find((one) => one.state === "image") ?? this.tiles[0]);
    if (!this.tile(this.selected)) this.selected = first?.id;
    this.body.replaceChildren(...this.groups.map((group) => this.drawGroup(group)));
    if (this.kind === "sweep") this.turn(groups);
    if (!groups.length) this.body.append(element("div", { class: "kling-empty" }, this.store.model.get("empty")));
    this.drawBar();
    if (focus) this.el.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
    if (fresh && !document.activeElement.matches("input, textarea")) this.find(this.selected)?.scrollIntoView(NEAREST);
  }
  turn(groups) { // the slider stays the same element: one that is replaced cannot be dragged on
    const { text = "", title = "" } = groups[this.page] ?? {};
    Object.assign(this.range, { max: groups.length - 1, value: this.page }); // in this order: the value is cut to max
    this.range.setAttribute("aria-valuetext", title);
    this.slider.hidden = groups.length < 2;
    [this.slider.firstChild.data, this.slider.lastChild.data] = [text, title];
  }
  button(what, label, title, press, pressed) {
    return element("button", { "data-focus": what, "aria-pressed": pressed, title, onclick: press }, label);
  }
  drawGroup(group) {
    const send = (what) => () => this.store.send(what, { group: group.key });
    const buttons = group.buttons.map(([what, ...words]) => this.button(`${what} ${group.key}`, ...words, send(what)));
    const bar = group.progress ? [element("div", { "data-progress": group.key }, ...this.progress(group))] : [];
    const facts = [...bar, ...group.facts].map((fact) => element("div", { class: "kling-facts" }, fact));
    const words = element("div", {}, element("strong", {}, group.title), " ", element("bdi", {}, group.text), ...facts);
    const head = [words, element("div", { class: "kling-buttons" }, ...buttons)];
    const cells = group.cells.map((row) => row.map((cell) => this.drawCell(cell)));
    const body = group.columns.length ? [this.table(group, cells)] : cells.flat();
    return element("section", { class: "kling-group" }, element("div", { class: "kling-head" }, ...head), ...body);
  }
  progress(group) {
    const [share, text] = this.store.progress.get(group.key) ?? [null, ""];
    return [element("progress", { max: 1, value: share, "aria-label": group.title }), text];
  }
  advance(key) {
    const group = this.groups.find((one) => one.key === key);
    this.body.querySelector(`[data-progress="${CSS.escape(key)}"]`)?.replaceChildren(...this.progress(group));
  }
  table(group, cells) {
    const axes = group.rows.length ? [element("td", { class: "kling-axes" }, group.axes)] : [];
    const head = element("tr", {}, ...axes, ...group.columns.map((name) => element("th", { scope: "col" }, name)));
    const side = (k) => (group.rows.length ? [element("th", { scope: "row" }, group.rows[k])] : []);
    const rows = cells.map((row, k) => element("tr", {}, ...side(k), ...row.map((cell) => element("td", {}, cell))));
    return element("table", { class: "kling-table" }, element("thead", {}, head), element("tbody", {}, ...rows));
  }
  drawCell(cell) {
    const tiles = (this.store.tiles.get(cell) ?? []).map((tile) => this.drawTile(tile));
    return element("div", { class: `kling-cell kling-of-${Math.min(tiles.length, 5)}` }, ...tiles);
  }
  drawTile(tile) {
    const on = tile.id === this.selected;
    const caption = element("span", { class: "kling-caption" }, tile.starred ? `\u2605 ${tile.label}` : tile.label);
    const look = { class: `kling-tile${tile.id === this.chosen ? " kling-chosen" : ""}`, title: tile.alt };
    const keys = { "data-focus": tile.id, "data-tile": tile.id, tabindex: on || this.kind === "history" ? 0 : -1 };
    const press = { "aria-pressed": on, onclick: () => this.select(tile.id) };
    return element("button", { ...look, ...keys, ...press }, this.image(tile, false), caption);
  }
  image(tile, large) { // or why there is none
    const { alt, width, height } = tile;
    if (tile.state === "image") return element("img", { src: this.store.source(tile.id, large), alt, width, height });
    const look = { class: `kling-reason kling-${tile.state}`, style: `aspect-ratio: ${width} / ${height}` };
    return element("span", look, tile.state, element("i", {}, tile.note));
  }
  figure(tile) { return element("figure", {}, this.image(tile, true), element("figcaption", {}, tile.caption)); }
  drawBar() {
    const tile = this.tile(this.selected);
    const open = tile && this.open ? [this.detail(tile)] : [];
    const over = open.length > 0 && this.open.kind !== "recipe"; // images lie over the page, as large as the window
    this.bar.replaceChildren(...(tile && this.kind === "sweep" ? [this.figure(tile)] : []));
    if (tile) this.bar.append(this.buttons(tile), this.status, ...(over ? [] : open));
    this.over.replaceChildren(...(over ? open : []));
    if (this.el.isConnected) this.over.togglePopover?.(over);
    const chosen = this.tile(this.chosen)?.name;
    this.status.textContent = chosen ? `${chosen} is chosen. Now select another image and press Compare.` : this.told;
    this.place();
  }
  place() {
    const tile = this.find(this.selected);
    if (this.kind === "sweep") return;
    if (!tile) return this.bar.remove();
    if (this.kind === "history") return tile.closest("section").append(this.bar);
    const row = [...tile.parentElement.children].filter((one) => one !== this.bar && one.offsetTop === tile.offsetTop);
    if (row.at(-1).nextSibling !== this.bar) row.at(-1).after(this.bar);
  }
  buttons(tile) {
    const toggle = (kind, ...words) => this.button(kind, ...words, () => this.toggle(kind), this.open?.kind === kind);
    const act = (what) => () => this.store.send(what, { tile: tile.id });
    const send = (what, label, title, pressed) => this.button(what, label, title, act(what), pressed);
    const first = this.chosen !== tile.id && this.tile(this.chosen)?.name;
    const compare = [first ? `Compare with ${first}` : "Compare", "Press it under two images", () => this.compare()];
    const all = tile.state === "image" && [
      toggle("large", "Larger", "Enter opens it, arrow keys turn to the next, Escape closes it"),
      this.button("compare", ...compare, this.chosen === tile.id),
      send("source", "Use as source", "Start the next image from this one"),
      send("star", tile.starred ? "\u2605 Starred" : "\u2606 Star", "History finds starred images", tile.starred),
      toggle("recipe", "Recipe", "How it was made, and the code for it"),
      send("download", "Download", "Save the original file"),
      this.button("copy", "Copy path", tile.path, () => this.copy(tile.path)),
    ];
    return element("div", { class: "kling-buttons" }, element("strong", {}, tile.name), ...(all || []));
  }
  detail(tile) {
    const { kind, first = "" } = this.open;
    const parts = this.store.details.get(`${kind} ${first} ${tile.id}`) ?? [];
    const shown = { large: [tile], compare: [this.tile(first), tile].filter(Boolean) }[kind] ?? [];
    const text = parts.flatMap(([title, words]) => [element("h4", {}, title), element("pre", { tabindex: 0 }, words)]);
    const close = this.button("close", "Close", "Escape does it too", () => this.toggle(kind));
    const look = { class: `kling-detail kling-detail-${kind}` };
    return element("div", look, ...shown.map(this.figure, this), ...text, close);
  }
  copy(path) {
    const say = (text) => () => (this.status.textContent = this.told = text);
    navigator.clipboard.writeText(path).then(say(`Copied ${path}`), say(path));
  }
  select(id, open = this.open?.kind === "compare" ? null : this.open) {
    Object.assign(this, { selected: id, told: "" });
    this.show(open);
    this.find(id)?.focus();
  }
  show(open) {
    this.open = open;
    if (open && open.kind !== "large") this.store.send(open.kind, { tile: this.selected, first: open.first ?? "" });
    this.draw();
    if (open) this.bar.scrollIntoView(NEAREST);
  }
  toggle(kind) { this.show(this.open?.kind === kind ? null : { kind }); }
  compare() {
    const [first, second, open] = [this.chosen, this.selected, this.open?.kind === "compare"];
    this.chosen = first || open ? null : second;
    this.show(first && first !== second ? { kind: "compare", first } : null);
  }
  keyed(event) {
    const onTile = event.target.closest("[data-tile]") ?? (this.open?.kind === "large" && this.find(this.selected));
    if (event.key === "Escape" && (this.open || this.chosen)) {
      this.chosen = null;
      this.select(this.selected, null);
    } else if (onTile && event.key === "Enter") this.toggle("large");
    else if (onTile && /^(Arrow|Home|End)/.test(event.key)) this.select(this.next(onTile, event.key) ?? this.selected);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  next(tile, key) {
    const tiles = [...this.body.querySelectorAll("[data-tile]")];
    const top = (one) => Math.round(one.getBoundingClientRect().top);
    const columns = tiles.filter((one) => top(one) === top(tile)).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    return tiles[{ Home: 0, End: tiles.length - 1 }[key] ?? tiles.indexOf(tile) + steps[key]]?.dataset.tile;
  }
}
// Ctrl+Enter in a field of several lines presses the main button of the page that the field stands on.
function submit(event) {
  const page = event.target.closest?.("textarea")?.closest(".kling-page");
  if (!page || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.stopImmediatePropagation(); // JupyterLab runs the cell otherwise; each component of the panel listens
  page.querySelector("button.mod-primary:not(:disabled)")?.click();
}
export default () => {
  let store;
  const render = ({ el }) => {
    const view = new View(store, el);
    view.draw();
    document.addEventListener("keydown", submit, true);
    return () => store.views.delete(view);
  };
  return { initialize: ({ model }) => void (store = new Store(model)), render };
};
