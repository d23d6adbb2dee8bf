// Wide figures scroll on a narrow screen; what scrolls sideways can be scrolled by the keyboard.
(() => {
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
  document.addEventListener("DOMContentLoaded", reach);
})();
