// Shows some of very many rows: those in the window, and a few around them.
//
// A browser cannot lay out a million elements, nor a box of more than some 17 million pixels, and wrapped rows have
// heights that nobody knows before they are laid out. So the place is kept as a row and the pixels of it that are above
// the window. The browser's own scroll bar moves over a box of bounded height: small movements are taken as pixels,
// large ones as a share of the whole, and once it rests the bar is put where it belongs.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});

  const TALLEST = 8_000_000; // pixels
  const AROUND = 12; // rows kept ready above and below the window
  const REST_MS = 150; // after this the scroll bar rests

  class LogList {
    // `source` has firstRow, rows, shownBefore(row); `draw(row)` returns an element, `signature(row)` changes when it must
    // be drawn anew; `onMove()` is called when another part is shown.
    constructor(scroller, source, { draw, signature, onMove }) {
      Object.assign(this, { scroller, source, draw, signature, onMove });
      this.layer = document.createElement("div");
      this.layer.className = "log-rows";
      this.layer.setAttribute("role", "list");
      this.spacer = document.createElement("div");
      this.spacer.className = "log-spacer";
      scroller.append(this.spacer, this.layer);
      this.elements = new Map(); // row -> element, as they stand in the layer
      this.pinned = new Set(); // rows that stay although out of sight: text in them is selected
      this.top = 0;
      this.shift = 0; // pixels of the top row above the window
      this.wrap = false;
      this.following = false;
      this.widest = 0;
      this.barAt = 0; // where the scroll bar was last seen, or put
      this.rest = 0;
      this.frame = 0;
      this.rowHeight = 20;
      this.columns = 80;
      this.scrolled = () => this.onScroll();
      scroller.addEventListener("scroll", this.scrolled, { passive: true });
      this.observer = new ResizeObserver(() => this.resized());
      this.observer.observe(scroller);
    }

    dispose() {
      this.observer.disconnect();
      this.scroller.removeEventListener("scroll", this.scrolled);
      cancelAnimationFrame(this.frame);
      clearTimeout(this.rest);
    }

    // Draw soon: at most once a frame.
    update() {
      if (this.frame !== 0) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.render();
      });
    }

    resized() {
      const probe = document.createElement("div");
      probe.className = "log-row log-probe";
      const text = document.createElement("span");
      text.textContent = "0".repeat(50);
      probe.append(text);
      this.layer.append(probe);
      this.rowHeight = probe.getBoundingClientRect().height || 20;
      const character = text.getBoundingClientRect().width / 50 || 8;
      probe.remove();
      const gutter = this.layer.querySelector(".log-number")?.offsetWidth ?? 60;
      this.columns = Math.max(10, Math.floor((this.scroller.clientWidth - gutter) / character));
      this.height = this.scroller.clientHeight;
      this.render();
    }

    setWrap(wrap) {
      this.wrap = wrap;
      this.widest = 0;
      this.layer.style.minWidth = "";
      this.scroller.scrollLeft = 0;
      this.resized();
    }

    get count() {
      return this.source.rows - this.source.firstRow;
    }

    // Whether all rows are equally high and the box is as high as they are.
    get exact() {
      return !this.wrap && this.count * this.rowHeight <= TALLEST;
    }

    // The height of the rows before this one: known, or where they are wrapped guessed from their bytes.
    heightBefore(row) {
      const { source } = this;
      const rows = row - source.firstRow;
      if (!this.wrap || rows <= 0) return Math.max(0, rows) * this.rowHeight;
      const bytes = source.shownBefore(row) - source.shownBefore(source.firstRow);
      return (rows + bytes / this.columns) * this.rowHeight;
    }

    // Show this row at the top, or where `share` of the window is above it.
    goTo(row, share = 0) {
      this.following = false;
      this.place(row, 0);
      this.moveBy(-share * (this.height ?? 0));
    }

    goToStart() {
      this.goTo(this.source.firstRow);
    }

    // Show the last rows, and go on showing them.
    follow() {
      this.following = true;
      this.update();
    }

    // Move the window down by that many pixels.
    moveBy(pixels) {
      this.shift += pixels;
      while (this.shift < 0 && this.top > this.source.firstRow) this.shift += this.heightOf(--this.top);
      this.shift = Math.max(0, this.shift);
      for (let height; this.top < this.source.rows - 1 && this.shift >= (height = this.heightOf(this.top)); ) {
        this.shift -= height;
        this.top++;
      }
      this.update();
    }

    place(row, shift) {
      this.top = Math.max(this.source.firstRow, Math.min(row, this.source.rows - 1));
      this.shift = shift;
      this.update();
    }

    heightOf(row) {
      if (!this.wrap) return this.rowHeight;
      const element = this.elements.get(row);
      if (element !== undefined && !element.classList.contains("log-pinned")) return element.offsetHeight;
      return this.rowHeight * Math.max(1, Math.ceil(this.source.lengthOf(row) / this.columns));
    }

    onScroll() {
      const at = this.scroller.scrollTop;
      const delta = at - this.barAt;
      if (Math.abs(delta) < 1 || this.count === 0) return; // put there by ourselves, or sideways
      clearTimeout(this.rest);
      this.rest = setTimeout(() => this.onRest(), REST_MS);
      this.barAt = at;
      const furthest = this.scroller.scrollHeight - this.scroller.clientHeight;
      this.following = false;
      if (at <= 0) this.place(this.source.firstRow, 0);
      else if (at >= furthest - 1) this.following = true;
      else if (this.exact) {
        this.place(this.source.firstRow + Math.floor(at / this.rowHeight), at % this.rowHeight);
      } else if (Math.abs(delta) <= 2 * this.height) this.moveBy(delta);
      else this.jump(at / furthest);
      this.render();
      this.onMove();
    }

    onRest() {
      this.rest = 0;
      if (Math.abs(this.scroller.scrollTop - this.barAt) < 1) this.putBar(); // else we shall hear that it moved on
    }

    // Go to a share of the whole.
    jump(share) {
      const { source } = this;
      const wanted = share * Math.max(0, this.heightBefore(source.rows) - this.height);
      let low = source.firstRow, high = source.rows - 1;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (this.heightBefore(middle) <= wanted) low = middle;
        else high = middle - 1;
      }
      this.place(low, Math.min(this.heightOf(low) - 1, wanted - this.heightBefore(low)));
    }

    render() {
      if (!this.height || this.scroller.clientHeight === 0) return; // hidden: the observer calls once it is not
      if (this.top < this.source.firstRow) this.place(this.source.firstRow, 0);
      if (this.count === 0) return this.fill(0, 0);
      if (this.following) this.alignEnd();
      this.fillAround();
      // Laying out tells the true heights; the end may turn out to be above the window's lower edge.
      if (!this.following && this.endIsInside()) {
        this.alignEnd();
        this.fillAround();
      }
      this.setHeight();
      if (this.rest === 0 || this.following || this.exact) this.putBar();
      this.layer.style.top = `${this.barAt - this.shift - this.offsetOf(this.top)}px`;
      this.keepWidth();
      return undefined;
    }

    // Have what the window shows in the layer, and a little around it. Wrapped rows may be lower than guessed.
    fillAround() {
      const { source, top, rowHeight } = this;
      const margin = AROUND * rowHeight;
      const from = this.reach(top, -margin);
      for (let to = this.reach(top, this.height + this.shift + margin); ; ) {
        this.fill(from, to);
        const missing = this.height + this.shift - (this.bottomOf(to - 1) - this.offsetOf(top));
        if (missing < 0 || to === source.rows) return;
        to = this.reach(to, missing + margin);
      }
    }

    // How far rows that are that high together reach from a row: at least one row on, if there is one.
    reach(row, pixels) {
      const { source } = this;
      let rest = Math.abs(pixels);
      if (pixels < 0) {
        while (rest > 0 && row > source.firstRow) rest -= this.heightOf(--row);
        return row;
      }
      while (rest > 0 && row < source.rows) rest -= this.heightOf(row++);
      return row;
    }

    // Have the rows from `from` up to `to` in the layer, in order, and those pinned.
    fill(from, to) {
      const { elements, pinned } = this;
      for (const [row, element] of elements) {
        const wanted = row >= from && row < to;
        if (!wanted && !(pinned.has(row) && row >= this.source.firstRow)) {
          element.remove();
          elements.delete(row);
        } else element.classList.toggle("log-pinned", !wanted);
      }
      const below = [...elements.keys()].filter((row) => row >= to).sort((a, b) => a - b);
      let next = below.length > 0 ? elements.get(below[0]) : null;
      for (let row = to - 1; row >= from; row--) next = this.drawn(row, next);
    }

    // The element of a row, before the element `next`.
    drawn(row, next) {
      const { elements, layer } = this;
      const signature = this.signature(row);
      let element = elements.get(row);
      if (element === undefined || element.logSignature !== signature) {
        const fresh = this.draw(row);
        fresh.logSignature = signature;
        if (element === undefined) layer.insertBefore(fresh, next);
        else element.replaceWith(fresh);
        elements.set(row, (element = fresh));
      }
      return element;
    }

    offsetOf(row) {
      return this.elements.get(row)?.offsetTop ?? 0;
    }

    bottomOf(row) {
      const element = this.elements.get(row);
      return element.offsetTop + element.offsetHeight;
    }

    endIsInside() {
      const last = this.source.rows - 1;
      if (!this.elements.has(last)) return false;
      return this.bottomOf(last) - this.offsetOf(this.top) - this.shift < this.height;
    }

    // Put the last row's lower edge at the window's, if there is that much to show.
    alignEnd() {
      const { source } = this;
      const last = source.rows - 1;
      for (let from = this.reach(source.rows, -this.height); ; ) {
        this.fill(from, source.rows);
        const missing = this.height - (this.bottomOf(last) - this.offsetOf(from));
        if (missing <= 0 || from === source.firstRow) break;
        from = this.reach(from, -missing);
      }
      let height = 0, row = last;
      for (; row >= source.firstRow && this.elements.has(row); row--) {
        height += this.elements.get(row).offsetHeight;
        if (height >= this.height) break;
      }
      this.top = Math.max(row, source.firstRow);
      this.shift = Math.max(0, height - this.height);
    }

    setHeight() {
      const guess = this.heightBefore(this.source.rows);
      let height = Math.min(guess, TALLEST);
      if (!this.exact && this.top === this.source.firstRow && this.shift === 0 && this.endFits()) height = 0;
      else if (!this.exact) height = Math.max(height, this.height + 2 * this.rowHeight);
      this.spacer.style.height = `${height}px`;
    }

    endFits() {
      const last = this.source.rows - 1;
      return this.elements.has(last) && this.bottomOf(last) - this.offsetOf(this.top) <= this.height;
    }

    // Put the scroll bar where it belongs.
    putBar() {
      clearTimeout(this.rest);
      this.rest = 0;
      const { source, scroller } = this;
      const furthest = scroller.scrollHeight - scroller.clientHeight;
      let wanted = this.heightBefore(this.top) + this.shift;
      if (!this.exact) {
        const whole = Math.max(1, this.heightBefore(source.rows) - this.height);
        wanted = Math.max(1, Math.min((wanted / whole) * furthest, furthest - 2));
        if (this.top === source.firstRow && this.shift === 0) wanted = 0;
        if (this.elements.has(source.rows - 1) && !this.moreBelow()) wanted = furthest;
      }
      if (Math.abs(scroller.scrollTop - wanted) >= 1) scroller.scrollTop = wanted;
      this.barAt = scroller.scrollTop;
      this.layer.style.top = `${this.barAt - this.shift - this.offsetOf(this.top)}px`;
    }

    moreBelow() {
      return this.bottomOf(this.source.rows - 1) - this.offsetOf(this.top) - this.shift > this.height + 1;
    }

    // The box never becomes narrower: a scroll bar that jumps is of no use.
    keepWidth() {
      if (this.wrap) return;
      const width = this.layer.offsetWidth;
      if (width > this.widest) {
        this.widest = width;
        this.layer.style.minWidth = `${width}px`;
      }
    }
  }

  stagecall.LogList = LogList;
})();
