// What a terminal would have shown of one row of a log: its text, and the runs of it that look alike.
//
// Escape sequences are followed byte by byte, so that it makes no difference where a piece of the log ends. Colours and
// other renditions (SGR) are kept; a carriage return, a backspace, "erase in line" and "to column" work within the row,
// as progress bars need it; all other sequences (cursor moves, titles, hyperlinks, images) are swallowed. A sequence
// ends with its line at the latest. Other control characters become visible symbols, and so do the invisible characters
// that change the order in which text is read. Nothing here makes markup: the result is text and numbers.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});

  // Modes of the reader. Only in CSI has it collected something; all others can be carried over to the next row.
  const GROUND = 0, ESCAPE = 1, INTERMEDIATE = 2, CSI = 3, CSI_IGNORED = 4, STRING = 5, STRING_ESCAPE = 6;
  // What a byte came to.
  const NOTHING = 0, SYMBOL = 1, RETURN = 2, BACK = 3, ERASE = 4, COLUMN = 5, AGAIN = 6;
  const MOST_PARAMETERS = 256; // bytes of one CSI sequence; true colours for both sides take 40

  const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 8, INVERSE = 16, STRIKE = 32, CONTROL = 64;
  const ON = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 7: INVERSE, 8: DIM, 9: STRIKE, 21: UNDERLINE };
  const OFF = { 22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 27: INVERSE, 28: DIM, 29: STRIKE };

  // A colour is 0 (the default), 1 + n (n of the 256 colours), or TRUE_COLOUR + 0xrrggbb.
  const TRUE_COLOUR = 0x1000000;
  const PLAIN = Object.freeze({ foreground: 0, background: 0, flags: 0 });

  class EscapeReader {
    constructor() {
      this.mode = GROUND;
      this.style = PLAIN;
      this.argument = 0; // of ERASE and COLUMN
      this.parameters = "";
    }

    // Read a control byte, or any byte while a sequence is open; return what it came to.
    read(byte) {
      let result = this.step(byte);
      while (result === AGAIN) result = this.step(byte);
      return result;
    }

    step(byte) {
      switch (this.mode) {
        case GROUND: return this.control(byte);
        case ESCAPE: return this.afterEscape(byte);
        case INTERMEDIATE:
          if (byte >= 0x20 && byte < 0x30) return NOTHING;
          return this.leave(byte >= 0x30 && byte < 0x7f);
        case CSI: return this.inCsi(byte);
        case CSI_IGNORED:
          if (byte >= 0x20 && byte < 0x40) return NOTHING;
          return this.leave(byte >= 0x40 && byte < 0x7f);
        case STRING: return this.inString(byte);
        default:
          this.mode = ESCAPE;
          return byte === 0x5c ? this.leave(true) : AGAIN;
      }
    }

    // Go back to plain text; a byte that does not belong to the sequence is read as what it is there.
    leave(belongs) {
      this.mode = GROUND;
      return belongs ? NOTHING : AGAIN;
    }

    control(byte) {
      if (byte === 0x1b) this.mode = ESCAPE;
      else if (byte === 0x0d) return RETURN;
      else if (byte === 0x08) return BACK;
      else if (byte !== 0x0e && byte !== 0x0f) return SYMBOL; // those two choose a set of characters
      return NOTHING;
    }

    afterEscape(byte) {
      if (byte === 0x1b) return NOTHING;
      if (byte === 0x5b) {
        this.mode = CSI;
        this.parameters = "";
        return NOTHING;
      }
      if (byte === 0x5d || byte === 0x50 || byte === 0x58 || byte === 0x5e || byte === 0x5f) {
        this.mode = STRING;
        return NOTHING;
      }
      if (byte >= 0x20 && byte < 0x30) {
        this.mode = INTERMEDIATE;
        return NOTHING;
      }
      return this.leave((byte >= 0x30 && byte < 0x7f) || byte === 0x18 || byte === 0x1a);
    }

    inString(byte) {
      if (byte === 0x1b) this.mode = STRING_ESCAPE;
      else if (byte === 0x07 || byte === 0x18 || byte === 0x1a) this.mode = GROUND;
      return NOTHING;
    }

    inCsi(byte) {
      if (byte >= 0x20 && byte < 0x40) {
        this.parameters += String.fromCharCode(byte);
        if (this.parameters.length > MOST_PARAMETERS) this.mode = CSI_IGNORED;
        return NOTHING;
      }
      if (byte < 0x40 || byte >= 0x7f) return this.leave(byte === 0x18 || byte === 0x1a);
      this.mode = GROUND;
      return this.finishCsi(byte);
    }

    finishCsi(final) {
      if (!/^[0-9:;]*$/.test(this.parameters)) return NOTHING; // a private sequence
      if (final === 0x6d) this.style = rendition(this.style, this.parameters);
      const number = Number.parseInt(this.parameters, 10) || 0;
      if (final === 0x4b || (final === 0x4a && number === 0)) {
        this.argument = number;
        return ERASE;
      }
      if (final === 0x47) {
        this.argument = Math.max(0, number - 1);
        return this.argument === 0 ? RETURN : COLUMN;
      }
      return NOTHING;
    }
  }

  // The style after "select graphic rendition" with these parameters.
  function rendition(style, parameters) {
    let { foreground, background, flags } = style;
    const fields = parameters.split(";");
    for (let at = 0; at < fields.length; at++) {
      const parts = fields[at].split(":");
      const code = Number(parts[0]);
      if (code === 38 || code === 48 || code === 58) {
        const [colour, used] = extended(fields, at, parts);
        at += used;
        if (code === 38) foreground = colour ?? foreground;
        if (code === 48) background = colour ?? background;
      } else if (code === 0) foreground = background = flags = 0;
      else if (code === 4 && parts[1] === "0") flags &= ~UNDERLINE;
      else if (ON[code]) flags |= ON[code];
      else if (OFF[code]) flags &= ~OFF[code];
      else if (code >= 30 && code <= 37) foreground = code - 29;
      else if (code === 39) foreground = 0;
      else if (code >= 40 && code <= 47) background = code - 39;
      else if (code === 49) background = 0;
      else if (code >= 90 && code <= 97) foreground = code - 81;
      else if (code >= 100 && code <= 107) background = code - 91;
    }
    return foreground || background || flags ? { foreground, background, flags } : PLAIN;
  }

  // The colour that 38, 48 or 58 is followed by (null: none that we know), and how many more fields it takes.
  function extended(fields, at, parts) {
    const colons = parts.length > 1;
    const rest = colons ? parts.slice(1) : fields.slice(at + 1, at + 5);
    const numbers = rest.map((part) => Math.min(255, Number(part)));
    if (numbers[0] === 5) return [numbers.length > 1 ? 1 + numbers[1] : null, colons ? 0 : 2];
    if (numbers[0] !== 2) return [null, colons ? 0 : 1];
    const rgb = colons && numbers.length > 4 ? numbers.slice(2, 5) : numbers.slice(1, 4);
    const colour = rgb.length === 3 ? TRUE_COLOUR + rgb[0] * 65536 + rgb[1] * 256 + rgb[2] : null;
    return [colour, colons ? 0 : 4];
  }

  // Characters that are invisible, or that turn the order of others around, and must not do so unseen; lone C1 controls.
  const INVISIBLE =
    /[\u0080-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]/;
  const EACH_INVISIBLE = new RegExp(`(${INVISIBLE.source})`);

  const named = (character) =>
    `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  const symbol = (byte) => `^${String.fromCharCode(byte ^ 64)}`; // caret notation: every font has it

  // Text under way: appended as long as the cursor stands at the end, laid over by characters once it has moved.
  class Line {
    constructor() {
      this.pieces = [];
      this.styles = [];
      this.cells = false; // whether each piece is one character
      this.cursor = 0; // in cells
    }

    put(text, style) {
      if (!INVISIBLE.test(text)) return this.write(text, style);
      for (const part of text.split(EACH_INVISIBLE)) {
        if (INVISIBLE.test(part)) this.mark(named(part), style);
        else if (part) this.write(part, style);
      }
    }

    mark(text, style) {
      this.write(text, { ...style, flags: style.flags | CONTROL });
    }

    write(text, style) {
      if (!this.cells) {
        this.pieces.push(text);
        this.styles.push(style);
        return;
      }
      for (const character of text) {
        this.pieces[this.cursor] = character;
        this.styles[this.cursor++] = style;
      }
    }

    intoCells() {
      if (this.cells) return;
      const { pieces, styles } = this;
      this.pieces = [];
      this.styles = [];
      this.cells = true;
      pieces.forEach((piece, at) => this.write(piece, styles[at]));
    }

    move(column) {
      this.intoCells();
      this.cursor = Math.max(0, Math.min(column, this.pieces.length));
    }

    erase(kind) {
      this.intoCells();
      if (kind === 0) this.pieces.length = this.styles.length = this.cursor;
      if (kind === 1 || kind === 2) {
        if (kind === 2) this.pieces.length = this.styles.length = this.cursor;
        this.pieces.fill(" ", 0, this.cursor);
        this.styles.fill(PLAIN, 0, this.cursor);
      }
    }

    // {text, runs: [{start, end, style}]}, neighbours of one style made one.
    finish() {
      const runs = [];
      let start = 0;
      this.pieces.forEach((piece, at) => {
        const last = runs.at(-1);
        const end = start + piece.length;
        if (last && same(last.style, this.styles[at])) last.end = end;
        else runs.push({ start, end, style: this.styles[at] });
        start = end;
      });
      return { text: this.pieces.join(""), runs };
    }
  }

  const same = (one, other) =>
    one === other ||
    (one.foreground === other.foreground && one.background === other.background && one.flags === other.flags);

  const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

  // A row as it looks. `bytes` holds no line feed; `reader` stands where the row begins; with `open` more is to come, and
  // the first bytes of a character that is not complete are left out.
  function readRow(bytes, reader, open = false) {
    const line = new Line();
    let end = open ? wholeCharacters(bytes) : bytes.length;
    while (end > 0 && bytes[end - 1] === 0x0d) end--; // the cursor moves, and nothing follows
    for (let at = 0; at < end; ) {
      let to = at;
      while (reader.mode === GROUND && to < end && isText(bytes[to])) to++;
      if (to > at) {
        line.put(decoder.decode(bytes.subarray(at, to)), reader.style);
        at = to;
        continue;
      }
      const byte = bytes[at];
      const result = reader.read(byte);
      if (result === SYMBOL && isText(byte)) continue; // it broke a sequence off, and is text itself
      at++;
      if (result === SYMBOL) line.mark(symbol(byte), reader.style);
      else if (result === RETURN) line.move(0);
      else if (result === BACK) line.move(columnOf(line) - 1);
      else if (result === COLUMN) line.move(reader.argument);
      else if (result === ERASE) line.erase(reader.argument);
    }
    return line.finish();
  }

  function columnOf(line) {
    line.intoCells();
    return line.cursor;
  }

  const isText = (byte) => (byte >= 0x20 && byte !== 0x7f) || byte === 0x09;

  // How many bytes are left without an unfinished UTF-8 character at the end.
  function wholeCharacters(bytes) {
    const from = Math.max(0, bytes.length - 3);
    for (let at = bytes.length - 1; at >= from; at--) {
      const byte = bytes[at];
      if (byte < 0x80) break;
      if (byte < 0xc0) continue;
      const needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf8 ? 4 : 1;
      return at + needed > bytes.length ? at : bytes.length;
    }
    return bytes.length;
  }

  stagecall.ansi = Object.freeze({
    EscapeReader, readRow, decoder, isText, PLAIN, TRUE_COLOUR,
    modes: Object.freeze({ GROUND, CSI }),
    results: Object.freeze({ SYMBOL, RETURN }),
    flags: Object.freeze({ BOLD, DIM, ITALIC, UNDERLINE, INVERSE, STRIKE, CONTROL }),
  });
})();
