// Returns the contrast of every text of a page to what is behind it, [ratio, text, class], by the formula of WCAG 2.2.
() => {
  const UNSEEN = ".unseen, .skip, title, desc, script, style, noscript, .log-row, .log-announcer, :disabled";
  const parts = (colour) => {
    const numbers = colour.match(/-?[\d.]+(e-?\d+)?/g).map(Number);
    const scale = colour.startsWith("color(") ? 255 : 1;
    return [numbers[0] * scale, numbers[1] * scale, numbers[2] * scale, numbers[3] ?? 1];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.03928 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    if (element === null) return [255, 255, 255, 1];
    const under = behind(element.parentElement);
    const style = getComputedStyle(element);
    if (element instanceof SVGElement) {
      const shape = element.matches(".stage, [data-call]") ? element.querySelector(".box, .bar") : null;
      const fill = shape && getComputedStyle(shape).fill;
      return fill && fill !== "none" ? over(parts(fill), under) : under;
    }
    return over(parts(style.backgroundColor), under);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("").trim();
    if (!text || element.closest(UNSEEN)) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const ink = over(parts(element instanceof SVGElement ? style.fill : style.color), ground);
    const what = element.className?.baseVal ?? element.className;
    found.push([Math.round(ratio(ink, ground) * 100) / 100, text.slice(0, 40), what]);
  }
  return found;
}
