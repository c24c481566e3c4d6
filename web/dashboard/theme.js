// Sets the colours before anything is painted: the operator's choice, else what the system prefers.
{
  const chosen = localStorage.getItem("callboard.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
