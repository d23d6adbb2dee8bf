// What scrolls sideways can be scrolled by the keyboard.
(() => {
  const reach = () => {
    for (const box of document.querySelectorAll("pre, .table-wrapper, div.math, .cell_output")) {
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", reach);
  addEventListener("resize", reach);
  document.addEventListener("DOMContentLoaded", reach);
})();
