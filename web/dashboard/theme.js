// Sets the colours before anything is painted: the operator's choice, else what the system prefers.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("callboard.theme");
  } catch {
    // A frame of another site may keep nothing.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
