import type { Metric } from 'prom-client';

/** Upper bounds of a histogram of times, in seconds. */
export const BOUNDS: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

interface Series {
  readonly counts: number[];
  sum: number;
  count: number;
}

/** A Prometheus histogram that takes many equal observations at once, which prom-client's own does not. */
export class LatencyHistogram {
  readonly #name: string;
  readonly #help: string;
  readonly #series = new Map<string, Series>();

  constructor(name: string, help: string) {
    this.#name = name;
    this.#help = help;
  }

  /** Counts `times` observations of `seconds`. */
  observe(stream: string, seconds: number, times: number): void {
    let series = this.#series.get(stream);
    if (series === undefined) {
      series = { counts: BOUNDS.map(() => 0), sum: 0, count: 0 };
      this.#series.set(stream, series);
    }
    const bucket = BOUNDS.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) series.counts[bucket]! += times;
    series.sum += seconds * times;
    series.count += times;
  }

  forget(stream: string): void {
    this.#series.delete(stream);
  }

  /** The form that prom-client's registry reads. */
  metric(): Metric {
    const metric = {
      name: this.#name,
      get: () => Promise.resolve(this.#read()),
      reset: () => this.#series.clear(),
    };
    return metric as unknown as Metric;
  }

  #read() {
    const values: { metricName: string; labels: Record<string, string | number>; value: number }[] = [];
    for (const [stream, { counts, sum, count }] of this.#series) {
      let below = 0;
      for (const [index, le] of BOUNDS.entries()) {
        below += counts[index]!;
        values.push({ metricName: `${this.#name}_bucket`, labels: { stream, le }, value: below });
      }
      values.push({ metricName: `${this.#name}_bucket`, labels: { stream, le: '+Inf' }, value: count });
      values.push({ metricName: `${this.#name}_sum`, labels: { stream }, value: sum });
      values.push({ metricName: `${this.#name}_count`, labels: { stream }, value: count });
    }
    return { name: this.#name, help: this.#help, type: 'histogram', values, aggregator: 'sum' };
  }
}
