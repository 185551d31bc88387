"use strict";
document.querySelectorAll("button.copy").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  });
});
const openTarget = () => {
  const card = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (card) card.focus({ preventScroll: true });
};
addEventListener("hashchange", openTarget);
openTarget();
