// The bytes of a log, and where its rows begin.
//
// A row is what is shown on one line of the view: a line of the log, or a part of one that is too long. Rows are numbered
// from 0 and keep their numbers, also when the oldest are dropped because all together have become too large. What is
// kept of a row is 11 bytes (and 12 more where colours reach over line ends), so a million lines cost little; their text
// is decoded when it is asked for. The result depends on the bytes only, never on the pieces in which they came.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});
  const { EscapeReader, readRow, decoder, isText, PLAIN, modes, results } = stagecall.ansi;

  const MIB = 1024 * 1024;
  const CHUNK = MIB / 4;
  const BLOCK = 1024; // rows
  const ROW_BYTES = 8192; // a longer line is shown in several rows
  const ROW_COST = 24; // bytes, for the bound
  const CONTINUED = 1, COMPLEX = 2; // flags of a row

  // What a byte is: 0 ASCII text, 1 beyond ASCII, 2 anything else.
  const KIND = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 0x80 ? 1 : isText(byte) ? 0 : 2));

  class Block {
    constructor(line, shown) {
      this.line = line; // number of the line that its first row belongs to
      this.shown = shown; // bytes in the rows before it
      this.starts = new Float64Array(BLOCK);
      this.lengths = new Uint16Array(BLOCK);
      this.flags = new Uint8Array(BLOCK);
      this.renditions = null; // three numbers a row: foreground, background, flags and mode
      this.plain = true; // whether all its rows are ASCII text without colours
    }

    keepState(at, style, mode) {
      if (style === PLAIN && mode === modes.GROUND) return this.renditions?.fill(0, 3 * at, 3 * at + 3);
      this.plain = false;
      this.renditions ??= new Uint32Array(3 * BLOCK);
      return this.renditions.set([style.foreground, style.background, style.flags * 16 + mode], 3 * at);
    }

    readerAt(at) {
      const reader = new EscapeReader();
      if (this.renditions === null) return reader;
      const [foreground, background, packed] = this.renditions.subarray(3 * at, 3 * at + 3);
      reader.mode = packed % 16;
      const flags = (packed - reader.mode) / 16;
      if (foreground || background || flags) reader.style = { foreground, background, flags };
      return reader;
    }
  }

  class LogStore {
    constructor({ maxBytes = 256 * MIB } = {}) {
      this.maxBytes = Math.max(16 * MIB, maxBytes); // two chunks are kept in any case, also of empty lines
      this.size = 0; // bytes that were appended, also those dropped since
      this.rows = 0; // one more than the number of the last row
      this.lines = 0;
      this.firstRow = 0; // the first that is kept
      this.ended = false;
      this.chunks = [];
      this.droppedChunks = 0;
      this.blocks = [];
      this.droppedBlocks = 0;
      this.shown = 0; // bytes in all rows that are complete
      this.reader = new EscapeReader();
      this.open = false; // whether a row is under way
      this.start = 0; // of the row under way
      this.seen = 0; // kinds of bytes in it
      this.printed = false; // whether anything of it can be seen
      this.afterReturn = -1; // where its last carriage return ended
      this.styleAtReturn = PLAIN;
      this.printedAfterReturn = false;
      this.decoded = { block: null, text: "" }; // a block of plain rows that was read last
      this.continues = false; // whether the next row belongs to the line of the last
      this.left = { row: Infinity, lines: 0, bytes: 0 }; // what was left out before a row
    }

    // Take the next bytes of the log.
    append(bytes) {
      const from = this.size;
      this.keep(bytes);
      this.scan(bytes, from);
      this.drop();
    }

    end() {
      this.ended = true;
    }

    // So much of the log is not here: what comes next keeps the numbers of its lines. Once at most.
    leaveOut(lines, bytes) {
      this.left = { row: this.rows, lines, bytes };
      this.lines += lines;
    }

    // The bytes of the whole log, as far as it is known.
    get whole() {
      return this.size + this.left.bytes;
    }

    keep(bytes) {
      for (let at = 0; at < bytes.length; ) {
        const within = this.size % CHUNK;
        if (within === 0) this.chunks.push(new Uint8Array(CHUNK));
        const count = Math.min(CHUNK - within, bytes.length - at);
        this.chunks.at(-1).set(bytes.subarray(at, at + count), within);
        this.size += count;
        at += count;
      }
    }

    scan(bytes, from) {
      const { reader } = this;
      for (let at = 0; at < bytes.length; ) {
        if (!this.open) this.openRow(from + at);
        const stop = Math.min(bytes.length, this.start + ROW_BYTES - from);
        if (reader.mode === modes.GROUND) {
          const begin = at;
          for (let kind; at < stop && (kind = KIND[bytes[at]]) < 2; at++) this.seen |= kind;
          if (at > begin) this.printed = this.printedAfterReturn = true;
          if (at === bytes.length) return;
        }
        const byte = bytes[at];
        if (byte === 0x0a) {
          this.closeRow(from + at, false);
          at++;
        } else if (at >= stop && this.mayBreak(byte, from + at)) this.full(from + at);
        else at += this.special(byte, from + at);
      }
    }

    // Take one byte that is not plain text, or that stands within an escape sequence; return how many were used up.
    special(byte, position) {
      const { reader } = this;
      if (reader.mode === modes.GROUND && KIND[byte] < 2) {
        this.seen |= KIND[byte];
        return 1; // the rest of a character at the end of a full row
      }
      this.seen |= COMPLEX;
      const result = reader.read(byte);
      if (result === results.RETURN) {
        this.afterReturn = position + 1;
        this.styleAtReturn = reader.style;
        this.printedAfterReturn = false;
      } else if (result === results.SYMBOL) {
        if (isText(byte)) return 0; // it broke a sequence off, and is text itself
        this.printed = this.printedAfterReturn = true;
      }
      return 1;
    }

    // A row is not broken within a sequence that has parameters, nor within a character.
    mayBreak(byte, position) {
      if (this.reader.mode === modes.CSI) return false;
      return byte < 0x80 || byte >= 0xc0 || position >= this.start + ROW_BYTES + 3;
    }

    // The row under way has become too long: go on in another, or forget what was written over or cannot be seen.
    full(position) {
      if (!this.printed) this.restart(position, this.reader.style, this.reader.mode);
      else if (this.afterReturn > this.start && this.printedAfterReturn) {
        this.restart(this.afterReturn, this.styleAtReturn, modes.GROUND);
      } else this.closeRow(position, true);
    }

    openRow(position) {
      const at = this.rows % BLOCK;
      if (!this.continues) this.lines++;
      if (at === 0) this.blocks.push(new Block(this.lines, this.shown));
      this.rows++;
      this.open = true;
      this.blocks.at(-1).flags[at] = this.continues ? CONTINUED : 0;
      this.restart(position, this.reader.style, this.reader.mode);
      this.seen = 0;
      this.printed = false;
    }

    restart(position, style, mode) {
      const at = (this.rows - 1) % BLOCK;
      const block = this.blocks.at(-1);
      this.start = position;
      this.afterReturn = -1;
      this.printedAfterReturn = false;
      block.starts[at] = position;
      block.keepState(at, style, mode);
    }

    closeRow(position, continues) {
      const at = (this.rows - 1) % BLOCK;
      const block = this.blocks.at(-1);
      const length = position - this.start;
      block.lengths[at] = length;
      if (this.seen !== 0) {
        block.flags[at] |= COMPLEX;
        block.plain = false;
      }
      this.shown += length;
      this.open = false;
      this.continues = continues;
      if (!continues) this.reader.mode = modes.GROUND; // no sequence goes on after its line
    }

    // Forget the oldest chunks, and the rows that began in them, until the rest is within the bound.
    drop() {
      while (this.chunks.length > 2 && this.cost() > this.maxBytes) {
        this.chunks.shift();
        this.droppedChunks++;
        const kept = this.droppedChunks * CHUNK;
        this.firstRow = this.search((row) => this.startOf(row) >= kept);
        while (this.droppedBlocks < Math.floor(this.firstRow / BLOCK)) {
          this.blocks.shift();
          this.droppedBlocks++;
        }
      }
    }

    cost() {
      return this.chunks.length * CHUNK + (this.rows - this.firstRow) * ROW_COST;
    }

    // The first row that `holds` is true of; it must be true of all later ones.
    search(holds) {
      let low = this.firstRow, high = this.rows;
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        if (holds(middle)) high = middle;
        else low = middle + 1;
      }
      return low;
    }

    blockOf(row) {
      return this.blocks[Math.floor(row / BLOCK) - this.droppedBlocks];
    }

    startOf(row) {
      return this.blockOf(row).starts[row % BLOCK];
    }

    isOpen(row) {
      return this.open && row === this.rows - 1;
    }

    lengthOf(row) {
      return this.isOpen(row) ? this.size - this.start : this.blockOf(row).lengths[row % BLOCK];
    }

    // Whether the row goes on with the line of the row before.
    continued(row) {
      return (this.blockOf(row).flags[row % BLOCK] & CONTINUED) !== 0;
    }

    // The number of the line, from 1, that a row belongs to.
    lineOf(row) {
      const { line, flags } = this.blockOf(row);
      let more = 0;
      for (let at = 1; at <= row % BLOCK; at++) if ((flags[at] & CONTINUED) === 0) more++;
      if (row >= this.left.row && row - (row % BLOCK) < this.left.row) more += this.left.lines;
      return line + more;
    }

    // The row that a line begins in, or null while there is none, or none any more.
    rowOfLine(line) {
      if (line < 1 || line > this.lines || this.firstRow === this.rows) return null;
      const row = this.search((candidate) => this.lineOf(candidate) >= line);
      return row < this.rows && this.lineOf(row) === line && !this.continued(row) ? row : null;
    }

    // How many bytes are in the rows before this one: a measure for their height where they are wrapped.
    shownBefore(row) {
      if (row >= this.rows) return this.shown + (this.open ? this.size - this.start : 0);
      const block = this.blockOf(row);
      let shown = block.shown;
      for (let at = 0; at < row % BLOCK; at++) shown += block.lengths[at];
      return shown;
    }

    bytesOf(row) {
      const start = this.startOf(row);
      return this.bytesBetween(start, start + this.lengthOf(row));
    }

    bytesBetween(start, end) {
      const chunk = Math.floor(start / CHUNK);
      const first = this.chunks[chunk - this.droppedChunks];
      if (end <= (chunk + 1) * CHUNK) return first.subarray(start % CHUNK, (start % CHUNK) + end - start);
      const all = new Uint8Array(end - start);
      for (let at = start; at < end; ) {
        const part = this.chunks[Math.floor(at / CHUNK) - this.droppedChunks].subarray(at % CHUNK);
        all.set(part.subarray(0, end - at), at - start);
        at += part.length;
      }
      return all;
    }

    // What a row looks like: {text, runs}; see ansi.js.
    read(row) {
      const block = this.blockOf(row);
      const open = this.isOpen(row);
      const state = block.readerAt(row % BLOCK);
      const bytes = this.bytesOf(row);
      if (open || (block.flags[row % BLOCK] & COMPLEX) !== 0 || block.renditions !== null) {
        return readRow(bytes, state, open && !this.ended);
      }
      const text = decoder.decode(bytes);
      return { text, runs: text ? [{ start: 0, end: text.length, style: PLAIN }] : [] };
    }

    // The text of a row.
    text(row) {
      const block = this.blockOf(row);
      const at = row % BLOCK;
      if (this.decodes(block, row)) {
        const start = block.starts[at] - block.starts[0];
        return this.decoded.text.slice(start, start + block.lengths[at]);
      }
      if ((block.flags[at] & COMPLEX) !== 0 || this.isOpen(row)) return this.read(row).text;
      if (block.renditions !== null && block.readerAt(at).mode !== modes.GROUND) return this.read(row).text;
      return decoder.decode(this.bytesOf(row));
    }

    // Whether a row's block is plain text, and decoded as a whole: whoever asks for one row often asks for the next.
    decodes(block, row) {
      if (this.decoded.block === block) return true;
      const end = row - (row % BLOCK) + BLOCK;
      if (!block.plain || end > this.rows || this.isOpen(end - 1) || end - BLOCK < this.firstRow) return false;
      const bytes = this.bytesBetween(block.starts[0], block.starts[BLOCK - 1] + block.lengths[BLOCK - 1]);
      this.decoded = { block, text: decoder.decode(bytes) };
      return true;
    }

    // All bytes that are kept, as parts for a Blob.
    parts() {
      const parts = this.chunks.slice();
      if (this.size % CHUNK !== 0) parts.push(parts.pop().subarray(0, this.size % CHUNK));
      return parts;
    }
  }

  stagecall.LogStore = LogStore;
})();
