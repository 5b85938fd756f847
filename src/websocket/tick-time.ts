let time = 0;

/** `performance.now()`, read once per turn of the event loop: cheap enough to ask for each message. */
export function tickTime(): number {
  if (time === 0) {
    time = performance.now();
    queueMicrotask(forget);
  }
  return time;
}

function forget(): void {
  time = 0;
}
