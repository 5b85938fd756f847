import { Counter, Gauge, Histogram, type Metric, type Registry } from 'prom-client';
import { BOUNDS } from './latency-histogram.ts';

/** A component's own metric. */
export interface MetricOptions<L extends string> {
  /** In snake_case, with its unit; `/metrics` shows it as `millrace_<type>_<name>`. A counter's ends in `_total`. */
  readonly name: string;
  /** A sentence. */
  readonly help: string;
  /** Labels besides `stream`, `stage` and `component`, which every metric has. */
  readonly labels?: readonly L[];
}

/**
 * The values of a metric's labels. If one component has more than 100 combinations, the later ones are counted as
 * `other`.
 */
export type LabelValues<L extends string> = Readonly<Record<L, string>>;

/** A component's own counter. */
export interface OwnCounter<L extends string> {
  /** Adds `count`, or one. Without labels, it shows 0 from the start. */
  add(count?: number, labels?: LabelValues<L>): void;
}

/** A component's own gauge. */
export interface OwnGauge<L extends string> {
  set(value: number, labels?: LabelValues<L>): void;
}

/** A component's own histogram. */
export interface OwnHistogram<L extends string> {
  observe(value: number, labels?: LabelValues<L>): void;
}

/** A component's own metrics. Call them for a batch or a connection, not for each message. */
export interface ComponentMetrics {
  counter<L extends string = never>(options: MetricOptions<L>): OwnCounter<L>;
  gauge<L extends string = never>(options: MetricOptions<L>): OwnGauge<L>;
  /** `buckets` are upper bounds, in the unit of the name; without them, those of a time in seconds. */
  histogram<L extends string = never>(
    options: MetricOptions<L> & { readonly buckets?: readonly number[] },
  ): OwnHistogram<L>;
}

/** The owner of the metrics. */
export interface MetricOwner {
  readonly type: string;
  readonly labels: { readonly stream: string; readonly stage: string; readonly component: string };
  /** Called with the name of each metric that it has. */
  readonly uses: (name: string) => void;
}

/** The names of components' own metrics. A name is free again when nobody uses it any more. */
export class MetricNames {
  readonly #registry: Registry;
  readonly #users = new Map<string, Set<object>>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  use(name: string, user: object): void {
    const users = this.#users.get(name) ?? new Set();
    this.#users.set(name, users.add(user));
  }

  /** Removes the metrics that only `user` has used. */
  release(user: object): void {
    for (const [name, users] of this.#users) {
      if (!users.delete(user) || users.size > 0) continue;
      this.#users.delete(name);
      this.#registry.removeSingleMetric(name);
    }
  }
}

const NAME = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/;
const TAKEN = new Set(['stream', 'stage', 'component', 'le', 'quantile']);
const MAX_COMBINATIONS = 100;

/**
 * The metrics of `owner`, in `registry`. Streams and components that use the same name share the metric, and differ in
 * its labels.
 */
export function createComponentMetrics(registry: Registry, owner: MetricOwner): ComponentMetrics {
  const named = <L extends string>({ name, help, labels = [] }: MetricOptions<L>, counter: boolean) => {
    if (!NAME.test(name)) throw new Error(`metric ${name}: expected a name in snake_case`);
    if (name.endsWith('_total') !== counter) {
      throw new Error(`metric ${name}: the name of a counter ends in _total, and only that of a counter`);
    }
    for (const label of labels) {
      if (!NAME.test(label) || TAKEN.has(label))
        throw new Error(`metric ${name}: ${label} cannot be a label`);
    }
    const labelNames = [...Object.keys(owner.labels), ...labels];
    return { name: `millrace_${owner.type}_${name}`, help, labelNames, registers: [registry] };
  };
  return {
    counter(options) {
      const settings = named(options, true);
      const counter = shared(registry, owner, settings, Counter, () => new Counter(settings));
      const child = children(owner, options.labels, (labels) => counter.labels(labels));
      if (options.labels === undefined) child(undefined).inc(0);
      return { add: (count = 1, labels) => child(labels).inc(count) };
    },
    gauge(options) {
      const settings = named(options, false);
      const gauge = shared(registry, owner, settings, Gauge, () => new Gauge(settings));
      const child = children(owner, options.labels, (labels) => gauge.labels(labels));
      return { set: (value, labels) => child(labels).set(value) };
    },
    histogram(options) {
      const settings = { ...named(options, false), buckets: [...(options.buckets ?? BOUNDS)] };
      const histogram = shared(registry, owner, settings, Histogram, () => new Histogram(settings));
      const child = children(owner, options.labels, (labels) => histogram.labels(labels));
      return { observe: (value, labels) => child(labels).observe(value) };
    },
  };
}

/** The metric of that name, which others may have made. @throws Error if theirs differs */
function shared<M extends Metric>(
  registry: Registry,
  { uses }: MetricOwner,
  { name, help, labelNames }: { name: string; help: string; labelNames: readonly string[] },
  kind: abstract new (...args: never) => M,
  create: () => M,
): M {
  const known = registry.getSingleMetric(name);
  if (known === undefined) {
    uses(name);
    return create();
  }
  const declared = known as unknown as { readonly help: string; readonly labelNames: readonly string[] };
  const same =
    known instanceof kind && declared.help === help && String(declared.labelNames) === String(labelNames);
  if (!same) throw new Error(`metric ${name}: there is another metric of this name`);
  uses(name);
  return known;
}

/** Finds the series of label values again without making an object each time. */
function children<L extends string, C>(
  { labels: own }: MetricOwner,
  names: readonly L[] = [],
  create: (labels: Record<string, string>) => C,
): (labels: LabelValues<L> | undefined) => C {
  const known = new Map<string, C>();
  const make = (key: string, value: (name: L) => string): C => {
    const child = create({ ...own, ...Object.fromEntries(names.map((name) => [name, value(name)])) });
    known.set(key, child);
    return child;
  };
  return (labels) => {
    const valueOf = (name: L): string => labels?.[name] ?? '';
    const key = names.length === 1 ? valueOf(names[0]!) : names.map(valueOf).join('\u0000');
    const child = known.get(key);
    if (child !== undefined) return child;
    if (known.size < MAX_COMBINATIONS) return make(key, valueOf);
    return known.get(OTHER) ?? make(OTHER, () => 'other');
  };
}
const OTHER = '\u0000other';
