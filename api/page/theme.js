// Before anything is drawn: the theme that was chosen. A classic script, so that nothing flashes.
{
  const chosen = localStorage.getItem("openbook.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
