// A log to look at: new stagecall.LogView(element, {label, download, maxBytes, onErrors}).
//
//   append(Uint8Array)   the next bytes; the view keeps the array. A promise that is kept once they can be seen
//   end()                no more will come
//   leaveOut(what)       what comes next is not what follows: {lines, bytes} of the log are not here
//   errorFound           the first line that tells of an error, {line, text}, or null; `onErrors()` is called when more are
//   setFollow(bool), setWrap(bool), search(text), next(), previous(), firstError(), goToLine(number)
//   setStatus(text)      what the connection does, shown below the log
//   settled()            a promise that is kept once all that was appended has been read
//   size                 how many bytes were appended, from the first of the log on
//   dispose()
//
// Needs format.js, ansi.js, logstore.js, colours.js, logsearch.js, loglist.js, logrow.js, logselection.js, logtoolbar.js
// before it, and logview.css. The rows are a list whose items say their place, not role=log: a screen reader would read
// each row out that scrolling draws anew. What happens (matches, jumps) is told by short status messages instead.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});
  const { LogStore, LogList, LogSearch, LogSelection, LogToolbar, Colours, Literal, Pattern, ERRORS } = stagecall;

  const PIECE = 256 * 1024; // bytes read at once, between two frames
  const KEYS = {
    ArrowDown: (view) => view.list.moveBy(view.list.rowHeight),
    ArrowUp: (view) => view.up(view.list.rowHeight),
    PageDown: (view) => view.list.moveBy(view.list.height - view.list.rowHeight),
    PageUp: (view) => view.up(view.list.height - view.list.rowHeight),
    " ": (view) => view.list.moveBy(view.list.height - view.list.rowHeight),
    Home: (view) => view.goToStart(),
    End: (view) => view.setFollow(true),
  };
  const SHORTCUTS = {
    "/": (view) => view.focusSearch(),
    n: (view) => view.next(),
    N: (view) => view.previous(),
    f: (view) => view.setFollow(!view.list.following),
    e: (view) => view.firstError(),
    w: (view) => view.setWrap(!view.list.wrap),
  };

  const number = (value) => value.toLocaleString("en");

  class LogView {
    constructor(element, { label = "Log", download = null, maxBytes, onErrors } = {}) {
      this.root = element;
      this.label = label;
      this.onErrorsFound = onErrors;
      this.store = new LogStore(maxBytes === undefined ? {} : { maxBytes });
      this.queue = [];
      this.queued = 0;
      this.pumping = false;
      this.waiters = [];
      this.active = null; // the search, if any
      this.current = null; // the match being looked at, {place, index}
      this.wanted = null; // where to look for the first match from, until it is found
      this.version = 0; // of everything but the log that rows are drawn from
      this.target = null; // the row that was jumped to
      this.wantedLine = null; // a line that has not come yet
      this.wantsError = false;
      this.status = "";
      this.controller = new AbortController();
      this.build(download);
      this.errors = new LogSearch(this.store, ERRORS, () => this.onErrors());
      this.listen();
      this.setWrap(matchMedia("(max-width: 600px)").matches);
      this.list.follow();
      this.onHash();
      this.changed();
    }

    build(download) {
      const { root, label } = this;
      root.classList.add("logview");
      this.toolbar = new LogToolbar(
        {
          onSearch: (text, options) => this.startSearch(text, options),
          onStep: (step) => this.step(step),
          onLeave: () => this.scroller.focus({ preventScroll: true }),
          onFollow: (on) => this.setFollow(on),
          onError: () => this.firstError(),
          onWrap: (on) => this.setWrap(on),
          onDownload: (event) => this.download(event),
        },
        label,
      );
      if (download !== null) this.toolbar.download.href = download;
      this.ownDownload = download === null;
      this.note = child("p", "log-note");
      this.note.hidden = true;
      this.scroller = child("div", "log-scroller");
      this.scroller.tabIndex = 0;
      this.scroller.setAttribute("role", "region");
      this.scroller.setAttribute("aria-label", label);
      this.empty = child("p", "log-empty");
      this.footer = child("p", "log-footer");
      this.announcer = child("p", "log-announcer");
      this.announcer.setAttribute("role", "status");
      root.replaceChildren(this.toolbar.element, this.note, this.empty, this.scroller, this.footer, this.announcer);
      this.colours = this.newColours();
      this.list = new LogList(this.scroller, this.store, {
        draw: (row) => this.draw(row),
        signature: (row) => this.signature(row),
        onMove: () => this.showFollow(),
      });
      this.selection = new LogSelection(this.list, this.store, this.controller.signal);
    }

    listen() {
      const { signal } = this.controller;
      this.root.addEventListener("keydown", (event) => this.onKey(event), { signal });
      document.addEventListener("keydown", (event) => this.onPageKey(event), { signal });
      addEventListener("hashchange", () => this.onHash(), { signal });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.onTheme(), { signal });
    }

    dispose() {
      this.controller.abort();
      this.active?.stop();
      this.errors.stop();
      this.list.dispose();
      this.queue.length = 0;
      this.root.classList.remove("logview");
      this.root.replaceChildren();
    }

    // What comes in.

    get size() {
      return this.store.size + this.queued;
    }

    append(bytes) {
      for (let at = 0; at < bytes.length; at += PIECE) this.queue.push(bytes.subarray(at, at + PIECE));
      this.queued += bytes.length;
      if (!this.pumping) this.pump();
      return this.settled();
    }

    pump() {
      const piece = this.queue.shift();
      this.pumping = this.queue.length > 0;
      if (piece !== undefined) {
        this.queued -= piece.length;
        this.store.append(piece);
        this.changed();
      }
      if (this.pumping) stagecall.later(() => this.pump());
      else for (const resolve of this.waiters.splice(0)) resolve();
    }

    async settled() {
      if (this.pumping) await new Promise((resolve) => this.waiters.push(resolve));
    }

    async end() {
      await this.settled();
      this.store.end();
      this.changed();
    }

    // What was appended must have been read: see settled().
    leaveOut({ lines, bytes }) {
      this.store.leaveOut(lines, bytes);
      this.toolbar.download.title = "Download what is here of the log";
    }

    // There are more rows, or they end.
    changed() {
      this.errors.extend();
      this.active?.extend();
      if (this.wantedLine !== null) this.goToLine(this.wantedLine);
      this.showSummary();
      this.showFollow();
      this.list.update();
    }

    showSummary() {
      const { store } = this;
      const dropped = store.firstRow > 0;
      this.note.hidden = !dropped;
      if (dropped) {
        const lines = number(store.lineOf(store.firstRow) - 1);
        this.note.textContent = `The first ${lines} lines are not kept here: the log is too long for that.`;
      }
      this.empty.hidden = store.rows > 0;
      this.empty.textContent = store.ended ? "Nothing was written." : "Nothing has been written yet.";
      const lines = `${number(store.lines)} ${store.lines === 1 ? "line" : "lines"}`;
      this.footer.textContent = [lines, stagecall.bytes(store.whole), this.status].filter(Boolean).join(" · ");
    }

    setStatus(text) {
      this.status = text;
      this.showSummary();
    }

    // Rows.

    signature(row) {
      const { store } = this;
      const current = this.current !== null && this.active?.found[this.current.place] === row;
      const index = current ? this.current.index : -1;
      const goesOn = row + 1 < store.rows && store.continued(row + 1) ? 1 : 0;
      return `${store.lengthOf(row)}/${store.isOpen(row) && !store.ended}/${goesOn}/${index}/${row === this.target}/${this.version}`;
    }

    draw(row) {
      const { store } = this;
      const continued = store.continued(row);
      const { text, runs } = store.read(row);
      const { spans, carried } = this.active
        ? stagecall.matchesIn(store, this.active.matcher, row)
        : { spans: [], carried: 0 };
      const here = this.current !== null && this.active.found[this.current.place] === row;
      const line = store.lineOf(row);
      const element = stagecall.drawRow({
        number: continued ? null : line,
        text,
        runs,
        error: ERRORS.matches(text).length > 0,
        target: row === this.target,
        spans,
        current: here ? this.current.index + carried : -1,
        colours: this.colours,
      });
      element.logRow = row;
      element.setAttribute("aria-posinset", String(line));
      element.setAttribute("aria-setsize", store.ended ? String(store.lines) : "-1");
      return element;
    }

    redraw() {
      this.version++;
      this.list.update();
    }

    newColours() {
      const style = getComputedStyle(this.scroller);
      const marked = ["--log-bad-soft", "--log-lit"].map((name) => style.getPropertyValue(name));
      return new Colours(style.color, style.backgroundColor, marked);
    }

    onTheme() {
      this.colours = this.newColours();
      this.redraw();
    }

    // Where we look.

    setFollow(on) {
      if (on) this.list.follow();
      else this.list.following = false;
      this.showFollow();
    }

    showFollow() {
      this.toolbar.showFollow(this.list.following, !this.store.ended);
    }

    setWrap(on) {
      this.root.classList.toggle("log-wrapped", on);
      this.toolbar.wrap.setAttribute("aria-pressed", String(on));
      this.list.setWrap(on);
    }

    up(pixels) {
      this.setFollow(false);
      this.list.moveBy(-pixels);
    }

    goToStart() {
      this.list.goToStart();
      this.showFollow();
    }

    // Show a line, and mark it; once it is there, if it is still to come. Returns whether it is there.
    goToLine(line) {
      const row = this.store.rowOfLine(line);
      this.wantedLine = row === null && !this.store.ended ? line : null;
      if (row === null) return false;
      this.goToRow(row);
      this.announce(`Line ${number(line)}`);
      return true;
    }

    goToRow(row) {
      this.target = row;
      this.list.goTo(row, 0.3);
      this.showFollow();
    }

    onHash() {
      const found = /^#L(\d{1,15})$/.exec(location.hash);
      if (found !== null) {
        this.setFollow(false);
        this.goToLine(Number(found[1]));
      }
    }

    firstError() {
      const { found, forgotten, done } = this.errors;
      const row = found[forgotten];
      this.wantsError = row === undefined && !done;
      if (row === undefined) return;
      this.goToRow(row);
      this.announce(`First error: line ${number(this.store.lineOf(row))}`);
    }

    get errorFound() {
      const row = this.errors.found[this.errors.forgotten];
      return row === undefined ? null : { line: this.store.lineOf(row), text: this.store.text(row) };
    }

    onErrors() {
      const { errors } = this;
      this.toolbar.showErrors(errors.count, errors.done);
      this.onErrorsFound?.();
      if (this.wantsError) this.firstError();
    }

    // Search.

    // Look for a text, or for what the toggles say; an empty one ends the search.
    search(text) {
      this.toolbar.input.value = text;
      this.toolbar.changed();
    }

    startSearch(text, { ignoreCase, expression }) {
      this.active?.stop();
      this.active = this.current = this.wanted = null;
      this.version++;
      this.list.update();
      if (text === "") return this.toolbar.showCount("");
      let matcher;
      try {
        matcher = expression ? new Pattern(text, { ignoreCase }) : new Literal(text, { ignoreCase });
      } catch (error) {
        return this.toolbar.showCount(error.message.replace(/^.*: /su, ""), true);
      }
      this.wanted = this.list.top;
      this.active = new LogSearch(this.store, matcher, () => this.onProgress());
      return this.onProgress();
    }

    onProgress() {
      const { active } = this;
      if (active === null) return;
      if (active.slowAt !== null) {
        this.giveUp(active.slowAt);
        return;
      }
      if (this.wanted !== null) this.findFirst();
      if (this.current !== null && this.current.place < active.forgotten) this.current = null;
      this.showCount();
    }

    // The expression takes too long: nothing may try it again, neither on other rows nor to mark what it matches.
    giveUp(row) {
      const told = `Too slow at line ${number(this.store.lineOf(row))}: gave up`;
      this.active = this.current = this.wanted = null;
      this.toolbar.showCount(told, true);
      this.announce(told);
      this.redraw();
    }

    // Go to the first match from where we are, or to the first of all if there is none.
    findFirst() {
      const { active } = this;
      let place = active.placeOf(this.wanted);
      if (place === active.found.length) {
        if (!active.done || active.count === 0) return;
        place = active.forgotten;
      }
      this.wanted = null;
      this.show({ place, index: 0 });
    }

    showCount() {
      const { active, current } = this;
      const more = active.done ? "" : "…";
      const count = active.count === 0 && active.done ? "none" : `${number(active.count)}${more}`;
      const text = current === null ? count : `${number(active.ordinal(current))} of ${count}`;
      this.toolbar.showCount(text);
      if (active.done) this.announce(`Matches: ${text}`);
    }

    next() {
      this.step(1);
    }

    previous() {
      this.step(-1);
    }

    step(direction) {
      if (this.active === null) return;
      const from = this.current ?? this.beforeHere(direction);
      const to = this.active.beside(from, direction);
      if (to === null) return;
      this.show(to);
      this.showCount();
    }

    // Where to step from when no match is being looked at: the window's first row.
    beforeHere(direction) {
      const place = this.active.placeOf(this.list.top);
      return direction > 0 ? { place: place - 1, index: Infinity } : { place, index: 0 };
    }

    show(match) {
      this.current = match;
      const row = this.active.found[match.place];
      this.setFollow(false);
      if (!this.inSight(row)) this.list.goTo(row, 0.3);
      this.list.update();
      const nearest = { block: "nearest", inline: "nearest" };
      requestAnimationFrame(() => this.root.querySelector(".log-current")?.scrollIntoView(nearest));
    }

    inSight(row) {
      const box = this.list.elements.get(row)?.getBoundingClientRect();
      const window = this.scroller.getBoundingClientRect();
      return box !== undefined && box.top >= window.top && box.bottom <= window.bottom;
    }

    // Keys, and other requests.

    onKey(event) {
      if (event.ctrlKey || event.metaKey) {
        if (event.key !== "a" || event.target !== this.scroller) return;
        this.selection.selectAll();
        event.preventDefault();
        return;
      }
      if (event.target !== this.scroller || event.altKey || event.shiftKey) return;
      const action = KEYS[event.key];
      if (action === undefined) return;
      action(this);
      this.showFollow();
      event.preventDefault();
    }

    // Letters work in the log only: who speaks to the browser says letters all the time. The slash leads there.
    onPageKey(event) {
      const { target } = event;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const writing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
      const ours = this.root.contains(target) || (event.key === "/" && target === document.body);
      const action = SHORTCUTS[event.key];
      if (writing || !ours || action === undefined || this.root.offsetParent === null) return;
      action(this);
      event.preventDefault();
    }

    focusSearch() {
      this.toolbar.input.focus();
      this.toolbar.input.select();
    }

    announce(text) {
      if (this.announcer.textContent !== text) this.announcer.textContent = text;
    }

    download() {
      if (!this.ownDownload) return;
      const link = this.toolbar.download;
      const address = URL.createObjectURL(new Blob(this.store.parts(), { type: "text/plain" }));
      link.href = address;
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    }
  }

  function child(name, className) {
    const element = document.createElement(name);
    element.className = className;
    return element;
  }

  stagecall.LogView = LogView;
})();
