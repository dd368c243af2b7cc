// Returns what has the focus, [name, whether one sees that it has it]; null if nothing has.
() => {
  const element = document.activeElement;
  if (element === document.body) return null;
  const marked = (one, part) => {
    const style = getComputedStyle(one, part);
    return style.outlineStyle !== "none" || (style.stroke !== "none" && parseFloat(style.strokeWidth) >= 2);
  };
  const around = [element, ...element.querySelectorAll("*"), element.parentElement, element.nextElementSibling];
  const visible = around.filter(Boolean).some((one) => marked(one) || marked(one, "::after"));
  const name = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
  return [name.trim().replace(/\s+/g, " ").slice(0, 60), visible];
}
