// The colours of a log's text, readable on whatever the page's background is.
//
// Programs choose colours for a terminal that they do not know. A colour here keeps its hue and is moved towards black or
// white until it stands out from what is behind it by 4.5 to 1 (WCAG AA for text), also dim text, and text in its own
// background's colour.
(() => {
  "use strict";
  const stagecall = (globalThis.stagecall ??= {});
  const { TRUE_COLOUR, flags: FLAGS } = stagecall.ansi;

  const CONTRAST = 4.5;
  const LIGHT = "1b2430 c42b38 1a7f4b 946000 2f62d9 8f3fc4 0b7285 5b6778 4b5769 d0313f 1f8a53 a8660a 3d6fe0 a04fd0 0f8296 1b2430";
  const DARK = "66748a ff7b82 4cc38a e8b04b 7da2ff d38cf5 4fc4d9 c9d1dc 8f9bae ff9ca1 77dca8 f5cd7e a5bfff e3b3fb 86dcea ffffff";

  const rgb = (number) => [number >> 16, (number >> 8) & 255, number & 255];
  const listed = (list) => list.split(" ").map((hex) => rgb(Number.parseInt(hex, 16)));
  const css = (colour) => `rgb(${colour.join(" ")})`;
  const mixed = (one, other, share) =>
    one.map((value, at) => Math.round(value + (other[at] - value) * share));

  function luminance(colour) {
    const [red, green, blue] = colour.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }

  function contrast(one, other) {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }

  // The colour, or the nearest to it that can be read on all of these backgrounds, which are much alike.
  function legible(colour, backgrounds) {
    const black = [0, 0, 0], white = [255, 255, 255];
    const end = contrast(black, backgrounds[0]) > contrast(white, backgrounds[0]) ? black : white;
    for (let share = 0; share < 1; share += 0.1) {
      const candidate = mixed(colour, end, share);
      if (backgrounds.every((background) => contrast(candidate, background) >= CONTRAST)) return candidate;
    }
    return end;
  }

  class Colours {
    // CSS colours, as rgb() or #rrggbb: of plain text, of what is behind it, and of what is behind rows that are marked.
    constructor(ink, paper, marked = []) {
      this.ink = parsed(ink);
      this.paper = parsed(paper);
      this.papers = [this.paper, ...marked.map(parsed)];
      this.palette = listed(luminance(this.paper) < 0.4 ? DARK : LIGHT);
      this.known = new Map();
    }

    // {color, background} of a style; null where it is the page's own.
    of(style) {
      const key = `${style.foreground}/${style.background}/${style.flags & (FLAGS.DIM | FLAGS.INVERSE)}`;
      let found = this.known.get(key);
      if (found === undefined) {
        if (this.known.size > 4096) this.known.clear(); // a log may use each colour there is
        this.known.set(key, (found = this.resolve(style)));
      }
      return found;
    }

    resolve({ foreground, background, flags }) {
      let front = this.number(foreground), back = this.number(background);
      if (flags & FLAGS.INVERSE) [front, back] = [back ?? this.paper, front ?? this.ink];
      const behind = back ?? this.paper;
      const shown = flags & FLAGS.DIM ? mixed(front ?? this.ink, behind, 0.35) : front;
      if (shown === null && back === null) return { color: null, background: null };
      const color = legible(shown ?? this.inkOn(behind), back === null ? this.papers : [back]);
      return { color: css(color), background: back && css(back) };
    }

    inkOn(background) {
      const { ink, paper } = this;
      return contrast(ink, background) >= contrast(paper, background) ? ink : paper;
    }

    number(colour) {
      if (colour === 0) return null;
      if (colour >= TRUE_COLOUR) return rgb(colour - TRUE_COLOUR);
      const index = colour - 1;
      if (index < 16) return this.palette[index];
      if (index >= 232) return Array(3).fill(8 + 10 * (index - 232));
      const level = (step) => (step === 0 ? 0 : 55 + 40 * step);
      const cube = index - 16;
      return [level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6)];
    }
  }

  function parsed(text) {
    const hex = /^\s*#([0-9a-f]{6})\s*$/i.exec(text);
    return hex ? rgb(Number.parseInt(hex[1], 16)) : (text.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
  }

  Object.assign(stagecall, { Colours, contrast });
})();
