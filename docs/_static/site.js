// Wide figures and tables of texts scroll on a narrow screen; what scrolls sideways can be scrolled by the keyboard.
(() => {
  const reach = () => {
    for (const image of document.querySelectorAll("article img"))
      image.parentElement.classList.toggle("wide", image.naturalWidth > 2 * image.naturalHeight);
    for (const table of document.querySelectorAll("article table.docutils")) {
      const long = [...table.querySelectorAll("td:last-child")].some((x) => x.textContent.length > 80);
      table.classList.toggle("texts", long);
    }
    const boxes = "pre, .table-wrapper, div.math, .cell_output, .wide";
    for (const box of document.querySelectorAll(boxes)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", reach);
  addEventListener("resize", reach);
  document.addEventListener("DOMContentLoaded", reach);
})();
