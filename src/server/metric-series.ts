/** Figures of one name as they are kept until they are scraped: counting costs one look-up and an addition. */
import type { MetricLabels } from '../base/metrics.ts'

/** One line of what is scraped, as prom-client writes it. */
interface ScrapedValue {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** What prom-client asks of a metric that it lists. */
export interface ScrapedMetric {
  readonly name: string
  get(): Promise<{
    readonly name: string
    readonly help: string
    readonly type: string
    readonly values: readonly ScrapedValue[]
  }>
}

abstract class Series<Sample> implements ScrapedMetric {
  readonly name: string
  protected abstract readonly type: string
  readonly #samples = new Map<string, { readonly labels: MetricLabels; readonly sample: Sample }>()

  constructor(name: string) {
    this.name = name
  }

  async get(): ReturnType<ScrapedMetric['get']> {
    const { name, type } = this
    const values = [...this.#samples.values()].flatMap(({ labels, sample }) =>
      this.values(labels, sample),
    )
    return { name, help: name.replaceAll('_', ' '), type, values }
  }

  protected sampleOf(labels: MetricLabels): Sample {
    const key = keyOf(labels)
    const known = this.#samples.get(key)
    if (known !== undefined) return known.sample
    const sample = this.begin()
    this.#samples.set(key, { labels: { ...labels }, sample })
    return sample
  }

  protected abstract begin(): Sample
  protected abstract values(labels: MetricLabels, sample: Sample): readonly ScrapedValue[]
}

/** A counter, or a gauge. */
export class NumberSeries extends Series<{ value: number }> {
  protected readonly type: 'counter' | 'gauge'

  constructor(name: string, type: 'counter' | 'gauge') {
    super(name)
    this.type = type
  }

  add(delta: number, labels: MetricLabels): void {
    this.sampleOf(labels).value += delta
  }

  set(value: number, labels: MetricLabels): void {
    this.sampleOf(labels).value = value
  }

  protected begin(): { value: number } {
    return { value: 0 }
  }

  protected values(labels: MetricLabels, { value }: { value: number }): readonly ScrapedValue[] {
    return [{ metricName: this.name, labels, value }]
  }
}

interface Distribution {
  /** How many values are in each bucket and in none before; the last is of those beyond all bounds. */
  readonly counts: number[]
  sum: number
}

/** A histogram with buckets up to and with each of `bounds`, which ascend. */
export class HistogramSeries extends Series<Distribution> {
  protected readonly type = 'histogram'
  readonly #bounds: readonly number[]

  constructor(name: string, bounds: readonly number[]) {
    super(name)
    this.#bounds = bounds
  }

  observe(value: number, labels: MetricLabels): void {
    const sample = this.sampleOf(labels)
    const bounds = this.#bounds
    let bucket = 0
    while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket++
    sample.counts[bucket] = (sample.counts[bucket] ?? 0) + 1
    sample.sum += value
  }

  protected begin(): Distribution {
    return { counts: Array.from({ length: this.#bounds.length + 1 }, () => 0), sum: 0 }
  }

  protected values(labels: MetricLabels, { counts, sum }: Distribution): readonly ScrapedValue[] {
    let count = 0
    const buckets = counts.map((inBucket, index) => {
      count += inBucket
      const le = this.#bounds[index] ?? '+Inf'
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: count }
    })
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ]
  }
}

/** The values of the labels; those of one name are given in one order. */
function keyOf(labels: MetricLabels): string {
  let key = ''
  for (const label in labels) key += `${labels[label]}\n`
  return key
}
