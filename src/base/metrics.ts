/** The metrics port. Names follow Prometheus: `stratalog_<what>_<unit>`, counters end in `_total`. */

export type MetricLabels = Readonly<Record<string, string>>

export interface Metrics {
  /** Adds to a counter. `delta` is never negative. */
  count(name: string, delta: number, labels?: MetricLabels): void
  /** Sets a gauge to the present value. */
  gauge(name: string, value: number, labels?: MetricLabels): void
  /** Adds one observation to a distribution. */
  observe(name: string, value: number, labels?: MetricLabels): void
}

export const noMetrics: Metrics = { count: () => {}, gauge: () => {}, observe: () => {} }

/** Keeps sums in memory: counters and gauges by name and labels, distributions as counts and sums. */
export class MemoryMetrics implements Metrics {
  readonly #values = new Map<string, number>()

  count(name: string, delta: number, labels: MetricLabels = {}): void {
    const key = metricKey(name, labels)
    this.#values.set(key, (this.#values.get(key) ?? 0) + delta)
  }

  gauge(name: string, value: number, labels: MetricLabels = {}): void {
    this.#values.set(metricKey(name, labels), value)
  }

  observe(name: string, value: number, labels: MetricLabels = {}): void {
    this.count(`${name}_count`, 1, labels)
    this.count(`${name}_sum`, value, labels)
  }

  /** The value of one counter or gauge; 0 when nothing was recorded. */
  value(name: string, labels: MetricLabels = {}): number {
    return this.#values.get(metricKey(name, labels)) ?? 0
  }

  /** The sum over every label set of one name. */
  total(name: string): number {
    let sum = 0
    for (const [key, value] of this.#values) {
      if (key === name || key.startsWith(`${name}{`)) sum += value
    }
    return sum
  }
}

function metricKey(name: string, labels: MetricLabels): string {
  const pairs = Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, value]) => `${label}="${value}"`)
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`
}
