// Selecting and copying text of a log of which only some rows are in the document.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});

  const MOST = 32 * 1024 * 1024; // characters that are copied at once

  class LogSelection {
    constructor(list, store, signal) {
      this.list = list;
      this.store = store;
      this.all = false; // whether the whole log is selected, also what is not drawn
      document.addEventListener("selectionchange", () => this.changed(), { signal });
      list.scroller.addEventListener("copy", (event) => this.copy(event), { signal });
    }

    selectAll() {
      document.getSelection().selectAllChildren(this.list.layer);
      this.all = true;
    }

    // The rows at both ends stay in the document, so that the browser does not lose the selection.
    changed() {
      const { layer, pinned } = this.list;
      const selection = document.getSelection();
      if (selection.isCollapsed || selection.anchorNode !== layer) this.all = false;
      pinned.clear();
      if (selection.isCollapsed || selection.rangeCount === 0) return;
      for (const node of [selection.anchorNode, selection.focusNode]) {
        const place = node !== layer && layer.contains(node) ? this.rowOf(node) : null;
        if (place !== null) pinned.add(place);
      }
    }

    rowOf(node) {
      const element = (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement).closest(".log-row");
      return element === null ? null : element.logRow;
    }

    copy(event) {
      const text = this.text();
      if (text === null) return;
      event.clipboardData.setData("text/plain", text);
      event.preventDefault();
    }

    // What is selected of the log, line by line and without numbers; null if that is not ours to say.
    text() {
      const { store } = this;
      const selection = document.getSelection();
      if (selection.isCollapsed || selection.rangeCount === 0) return null;
      if (this.all) return this.between([store.firstRow, 0], [store.rows - 1, Infinity]);
      const range = selection.getRangeAt(0);
      const from = this.place(range.startContainer, range.startOffset);
      const to = this.place(range.endContainer, range.endOffset);
      return from === null || to === null ? null : this.between(from, to);
    }

    // [row, character] of a place in the document.
    place(node, offset) {
      const { layer } = this.list;
      if (!layer.contains(node)) return null;
      if (node === layer) {
        const next = layer.children[offset];
        return next === undefined ? [this.store.rows - 1, Infinity] : [next.logRow, 0];
      }
      const row = this.rowOf(node);
      const content = this.list.elements.get(row)?.querySelector(".log-text");
      if (content === null || content === undefined) return null;
      const before = document.createRange();
      before.setStart(content, 0);
      if (before.comparePoint(node, offset) < 0) return [row, 0];
      before.setEnd(node, offset);
      return [row, before.toString().length];
    }

    between([first, start], [last, end]) {
      const { store } = this;
      const parts = [];
      let length = 0;
      for (let row = Math.max(first, store.firstRow); row <= last && length < MOST; row++) {
        const text = store.text(row);
        const part = text.slice(row === first ? start : 0, row === last ? end : undefined);
        if (parts.length > 0 && !store.continued(row)) parts.push("\n");
        parts.push(part);
        length += part.length;
      }
      return parts.join("");
    }
  }

  stagecall.LogSelection = LogSelection;
})();
