// Wide figures and tables of texts scroll on a narrow screen; what scrolls sideways can be scrolled by the keyboard.
(() => {
  // Code in a table of texts may go on in the next line after a point, a slash, a bracket, an underscore.
  const broken = (code) => {
    const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) found.push(texts.currentNode);
    for (const text of found) {
      const parts = text.data.split(/(?<=[./(_])(?=\w)/);
      text.replaceWith(...parts.flatMap((x, i) => (i ? [document.createElement("wbr"), x] : [x])));
    }
  };
  const texts = () => {
    for (const table of document.querySelectorAll("article table.docutils")) {
      const last = [...table.querySelectorAll("td:last-child")];
      if (!last.some((x) => x.textContent.length > 60)) continue;
      table.classList.add("texts");
      table.querySelectorAll("td code").forEach(broken);
    }
  };
  const reach = () => {
    for (const image of document.querySelectorAll("article img"))
      image.parentElement.classList.toggle("wide", image.naturalWidth > 2 * image.naturalHeight);
    const boxes = "pre, .table-wrapper, div.math, .cell_output, .wide";
    for (const box of document.querySelectorAll(boxes)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", reach);
  addEventListener("resize", reach);
  document.addEventListener("DOMContentLoaded", () => {
    texts();
    reach();
  });
})();
