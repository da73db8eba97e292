// Time of a movie: which frame is seen when. Without measured times, frames count from 0.

export class Clock {
  // times: ascending, one a frame; null where the dataset has none.
  constructor(times, frames) {
    this.measured = times !== null;
    this.times = times ?? Array.from({ length: frames }, (_, i) => i);
    const steps = this.times.slice(1).map((time, i) => time - this.times[i]);
    steps.sort((a, b) => a - b);
    this.interval = steps[Math.floor(steps.length / 2)] || 1;
    this.start = this.times[0];
    this.end = this.times.at(-1) + this.interval; // the last frame is seen as long as others
    this.now = this.start;
  }

  // The frame that is seen at a time: the last one that was taken by then.
  frameAt(time) {
    let low = 0;
    let high = this.times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.times[middle] <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  get frame() {
    return this.frameAt(this.now);
  }

  seek(frame) {
    this.now = this.times[Math.max(0, Math.min(frame, this.times.length - 1))];
  }

  // Go on by some time; returns false at the end of a movie that is not repeated.
  advance(amount, loop) {
    this.now += amount;
    if (this.now < this.end) return true;
    if (loop) {
      this.now = this.start + ((this.now - this.start) % (this.end - this.start));
      return true;
    }
    this.now = this.times.at(-1);
    return false;
  }

  // Speeds to choose from, in units of the times per second of the viewer, and the first choice.
  speeds() {
    const shown = this.end - this.start;
    const values = this.measured
      ? [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
      : [1, 2, 5, 10, 20, 30, 60];
    const usable = values.filter((v) => shown / v >= 0.2 && shown / v <= 120);
    const kept = usable.length ? usable : [shown / 4];
    const best = kept.reduce((a, b) =>
      Math.abs(Math.log(shown / b / 4)) < Math.abs(Math.log(shown / a / 4)) ? b : a,
    );
    return { values: kept, best };
  }
}
