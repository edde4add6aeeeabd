// Times come in UTC, and are shown as the reader's own clock has them.
const day = { dateStyle: "medium" };
const minute = { dateStyle: "medium", timeStyle: "short" };

export function localise(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!time.dateTime.includes("T") || Number.isNaN(at.valueOf())) continue; // a day is a day in every zone
    time.title = time.textContent.trim();
    time.textContent = new Intl.DateTimeFormat(undefined, "day" in time.dataset ? day : minute).format(at);
  }
}

localise(document);
