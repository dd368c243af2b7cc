// The artifacts: what was stored under which name, how large it is, a look into texts and pictures, and how far uploads are.
"use strict";
{
  const page = (globalThis.stagecall ??= {});
  /** So many are shown at first, and so many more each time somebody asks. */
  const PORTION = 100;
  const FEW = 8;
  const ORDER = new Intl.Collator("en", { numeric: true });
  const KINDS = { object: "", error: "error", redirect: "redirect", link: "link" };

  class Artifacts {
    constructor(view, note, source) {
      this.source = source;
      this.note = note;
      this.rows = new Map();
      this.most = PORTION;
      this.wanted = "";
      this.uploads = page.element("div", { class: "uploads" });
      this.meter = page.element("div", { class: "meter", "aria-hidden": "true" }, page.element("i"));
      this.filter = page.element("input", { type: "search", placeholder: "Filter artifacts", "aria-label": "Filter artifacts by name", spellcheck: "false", autocomplete: "off" });
      this.tools = page.element("div", { class: "tools", hidden: true }, this.filter);
      this.list = page.element("ul", { class: "files" });
      this.more = page.element("button", { type: "button", class: "quiet", hidden: true });
      this.none = page.element("p", { class: "empty" }, "Nothing has been stored so far.");
      view.append(this.meter, this.tools, this.none, this.list, this.more, this.uploads);
      this.filter.addEventListener("input", () => this.narrow(this.filter.value));
      this.more.addEventListener("click", () => {
        this.most += PORTION;
        this.draw();
      });
    }

    show(history) {
      this.over = history.over;
      if (this.version === history.version && this.drawnOver === history.over) return;
      this.version = history.version;
      const known = this.artifacts?.length ?? -1;
      this.artifacts = [...history.artifacts.values()];
      const same = known === this.artifacts.length && this.drawnOver === history.over;
      this.drawnOver = history.over;
      if (same && this.artifacts.every((artifact) => this.rows.get(artifact.name)?.artifact === artifact)) return;
      this.artifacts.sort((one, other) => ORDER.compare(one.name, other.name));
      page.say(this.note, this.artifacts.length ? this.told() : "");
      this.tools.hidden = this.artifacts.length <= FEW;
      this.draw();
    }

    /** How many there are, how large together, and how many could not be stored. */
    told() {
      const all = this.artifacts ?? [];
      if (!all.length) return this.over ? "No artifacts" : "No artifacts so far";
      const whole = all.reduce((sum, artifact) => sum + (artifact.bytes ?? 0), 0);
      const wrong = all.filter((artifact) => artifact.storage === "error").length;
      return [page.count(all.length, "artifact"), whole && page.bytes(whole), wrong && page.count(wrong, "error")].filter(Boolean).join(", ");
    }

    narrow(text) {
      this.wanted = text.trim().toLowerCase();
      this.most = PORTION;
      this.draw();
    }

    draw() {
      const found = this.artifacts.filter((artifact) => artifact.name.toLowerCase().includes(this.wanted));
      const shown = found.slice(0, this.most).map((artifact) => this.row(artifact));
      const there = [...this.list.children];
      if (shown.length !== there.length || shown.some((row, index) => row !== there[index])) this.place(shown);
      this.none.hidden = found.length > 0;
      const nothing = this.over ? "The run stored no artifacts." : "Nothing has been stored so far.";
      page.say(this.none, this.wanted ? "No artifact has a name like that." : nothing);
      this.more.hidden = found.length <= this.most;
      page.say(this.more, `Show ${Math.min(PORTION, found.length - this.most)} more of ${found.length.toLocaleString("en")}`);
    }

    /** Put the rows in order, without taking away the one that has the focus. */
    place(rows) {
      const wanted = new Set(rows);
      for (const row of [...this.list.children]) if (!wanted.has(row)) row.remove();
      rows.forEach((row, index) => {
        if (this.list.children[index] !== row) this.list.insertBefore(row, this.list.children[index] ?? null);
      });
    }

    row(artifact) {
      const known = this.rows.get(artifact.name);
      if (known?.artifact === artifact) return known.row;
      const row = newRow(artifact, this.source);
      known?.row.replaceWith(row);
      this.rows.set(artifact.name, { artifact, row });
      return row;
    }

    /** Show how far the uploads are; null once none is under way. */
    progress(told) {
      const under = Array.isArray(told?.underWay) ? told.underWay : [];
      const done = under.reduce((sum, one) => sum + (one.bytesDone ?? 0), 0);
      const whole = under.reduce((sum, one) => sum + (one.bytesTotal ?? NaN), 0);
      this.meter.classList.toggle("on", under.length > 0);
      this.meter.firstChild.style.width = `${whole > 0 ? Math.min(100, (100 * done) / whole) : 100}%`;
      this.meter.classList.toggle("endless", !(whole > 0));
      this.uploads.replaceChildren(...under.slice(0, 5).map(upload));
    }
  }

  function upload({ name, bytesDone, bytesTotal }) {
    const known = bytesTotal > 0;
    const share = known ? Math.min(100, Math.floor((100 * bytesDone) / bytesTotal)) : null;
    const told = known ? `${page.bytes(bytesDone)} of ${page.bytes(bytesTotal)}` : page.bytes(bytesDone);
    const bar = page.element("progress", { max: 100, value: share, "aria-label": `Upload of ${page.line(name, 100)}` });
    return page.element("div", { class: "upload" }, page.element("bdi", { class: "path" }, page.line(name, 300)), bar, page.element("span", { class: "size" }, told));
  }

  function newRow(artifact, source) {
    const kind = page.element("span", { class: `kind ${artifact.storage}` }, page.own(KINDS, artifact.storage) ?? page.line(artifact.storage, 20));
    const size = page.element("span", { class: "size" }, artifact.bytes === null ? "" : page.bytes(artifact.bytes));
    const type = page.element("span", { class: "type" }, page.line(artifact.reason ?? (artifact.contentType ?? "").split(";")[0], 60));
    const body = page.element("div", { class: "file-body" });
    const summary = page.element("summary", {}, path(artifact.name), kind, type, size);
    const details = page.element("details", { class: `file ${artifact.storage}` }, summary, body);
    details.addEventListener("toggle", () => details.open && !body.hasChildNodes() && fill(body, artifact, source));
    return page.element("li", {}, details, ...download(artifact, source));
  }

  /** The folders of a name stand back behind its last part. */
  function path(name) {
    const cut = name.lastIndexOf("/") + 1;
    return page.element("bdi", { class: "path", title: name }, page.element("span", { class: "folder" }, page.line(name.slice(0, cut), 300)), page.line(name.slice(cut), 300));
  }

  function fill(body, artifact, source) {
    const facts = page.element("dl", { class: "facts" });
    const fact = (name, value) => value && facts.append(page.element("div", {}, page.element("dt", {}, name), page.element("dd", {}, value)));
    fact("Type", [artifact.contentType, artifact.contentEncoding].filter(Boolean).join(", "));
    fact("Size", artifact.bytes === null ? null : page.count(artifact.bytes, "byte"));
    fact("SHA-256", artifact.sha256 && page.element("code", {}, artifact.sha256));
    fact("Expires", artifact.expires && page.instant(artifact.expires));
    fact("Reason", artifact.reason);
    fact("Leads to", artifact.target ? page.element("code", {}, page.line(artifact.target, 500)) : elsewhere(artifact.url));
    body.append(facts);
    if (artifact.storage === "object") body.append(content(artifact, source));
  }

  /** An address from anywhere is a link only if it is one of the web. */
  function elsewhere(url) {
    if (!url) return null;
    const told = page.line(url, 500);
    return /^https?:\/\//i.test(url) ? page.element("a", { href: url, rel: "noopener noreferrer", target: "_blank" }, told) : page.element("code", {}, told);
  }

  function content(artifact, source) {
    const look = page.element("div", { class: "preview", "aria-live": "polite" }, page.element("p", { class: "aside" }, "Loading …"));
    source.preview(artifact).then(
      (preview) => look.replaceChildren(...shown(preview, artifact)),
      (error) => look.replaceChildren(page.element("p", { class: "aside" }, `No preview: ${page.line(error.message, 200)}.`)),
    );
    return look;
  }

  function download(artifact, source) {
    const address = artifact.storage === "object" || artifact.storage === "link" ? source.artifactAddress(artifact.name) : null;
    if (!address) return [];
    const file = artifact.name.slice(artifact.name.lastIndexOf("/") + 1);
    const arrow = page.drawn("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, page.drawn("path", { d: "M8 2v8M4.5 7 8 10.5 11.5 7M3 13.5h10" }));
    return [page.element("a", { class: "get", href: address, download: file, title: "Download", "aria-label": `Download ${page.line(artifact.name, 200)}` }, arrow)];
  }

  function shown(preview, artifact) {
    if (preview.image) return [picture(preview.image, artifact)];
    const text = (preview.text ?? "").replaceAll("\r\n", "\n");
    if (text === "") return [page.element("p", { class: "aside" }, "It is empty.")];
    if (isBinary(text, artifact)) return [page.element("p", { class: "aside" }, "No preview: it is not text.")];
    const pre = page.element("pre", { tabindex: 0, role: "region", "aria-label": `Beginning of ${page.line(artifact.name, 100)}` }, ...coloured(text));
    return preview.cut ? [pre, page.element("p", { class: "aside" }, `Only the first ${page.bytes(65536)} are shown.`)] : [pre];
  }

  /** A text may be in another encoding if it says that it is a text; the last character of what is shown may be cut. */
  function isBinary(text, artifact) {
    return text.includes("\0") || (!/^text\//i.test(artifact.contentType ?? "") && text.slice(0, -4).includes("\ufffd"));
  }

  /** Return the nodes of a text as a terminal would show it, if it was written for one. */
  function coloured(text) {
    if (!/[\x1b\r\b]/.test(text)) return [text];
    const style = getComputedStyle(document.documentElement);
    const colours = new page.Colours(style.getPropertyValue("--ink"), style.getPropertyValue("--sunk"));
    const store = new page.LogStore();
    store.append(new TextEncoder().encode(text));
    store.end();
    const nodes = [];
    for (let row = 0; row < store.rows; row += 1) {
      const read = store.read(row);
      if (row > 0 && !store.continued(row)) nodes.push("\n");
      nodes.push(...page.drawText(read.text, read.runs, colours));
    }
    return nodes;
  }

  function picture(address, artifact) {
    const image = page.element("img", { src: address, alt: page.line(artifact.name, 200), loading: "lazy" });
    image.addEventListener("error", () => image.replaceWith(page.element("p", { class: "aside" }, "No preview: it cannot be drawn.")));
    return page.element("div", { class: "frame" }, image);
  }

  page.Artifacts = Artifacts;
}
