/**
 * The metrics port as Prometheus has it. `prom-client` is loaded when the metrics are asked for, or when much was
 * counted without it, so that no start waits for it.
 */
import type { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { present } from '../base/assert.ts'
import type { MetricLabels, Metrics } from '../base/metrics.ts'

type Prometheus = typeof import('prom-client')

/** Of durations, in ms: two steps a decade, from a microsecond to a quarter of an hour. */
const DURATIONS = steps(-3, 6)

/** Of sizes: two steps a decade, up to what one append may have. */
const SIZES = steps(0, 8)

/** What is kept uncounted until it is loaded. */
const EARLY_MAX = 1_000

export class PrometheusMetrics implements Metrics {
  #loaded: { readonly prometheus: Prometheus; readonly registry: Registry } | null = null
  #loading: Promise<Registry> | null = null
  readonly #series = new Map<string, Counter | Gauge | Histogram>()
  /** By name and values of labels: to find one by its labels takes longer than to count. */
  readonly #counters = new Map<string, { inc: (delta: number) => void }>()
  readonly #histograms = new Map<string, { observe: (value: number) => void }>()
  #early: (() => void)[] = []

  count(name: string, delta: number, labels: MetricLabels = {}): void {
    this.#use(() => {
      const key = keyOf(name, labels)
      const known = this.#counters.get(key)
      const counter = known ?? this.#metric('Counter', name, labels).labels(labels)
      if (known === undefined) this.#counters.set(key, counter)
      counter.inc(delta)
    })
  }

  gauge(name: string, value: number, labels: MetricLabels = {}): void {
    this.#use(() => this.#metric('Gauge', name, labels).set(labels, value))
  }

  observe(name: string, value: number, labels: MetricLabels = {}): void {
    this.#use(() => {
      const key = keyOf(name, labels)
      const known = this.#histograms.get(key)
      const histogram = known ?? this.#metric('Histogram', name, labels).labels(labels)
      if (known === undefined) this.#histograms.set(key, histogram)
      histogram.observe(value)
    })
  }

  /** Loads what keeps the metrics, and begins with those of the process. */
  #load(): Promise<Registry> {
    this.#loading ??= import('prom-client').then((loaded) => {
      const prometheus = loaded.default
      const registry = new prometheus.Registry()
      this.#loaded = { prometheus, registry }
      prometheus.collectDefaultMetrics({ register: registry, prefix: 'stratalog_' })
      for (const use of this.#early.splice(0)) use()
      return registry
    })
    return this.#loading
  }

  /** The text that is scraped, with its content type. */
  async text(): Promise<{ readonly contentType: string; readonly body: string }> {
    const registry = await this.#load()
    return { contentType: registry.contentType, body: await registry.metrics() }
  }

  #use(use: () => void): void {
    if (this.#loaded !== null) {
      use()
      return
    }
    this.#early.push(use)
    if (this.#early.length >= EARLY_MAX) void this.#load()
  }

  #metric(kind: 'Counter', name: string, labels: MetricLabels): Counter
  #metric(kind: 'Gauge', name: string, labels: MetricLabels): Gauge
  #metric(kind: 'Histogram', name: string, labels: MetricLabels): Histogram
  #metric(
    kind: 'Counter' | 'Gauge' | 'Histogram',
    name: string,
    labels: MetricLabels,
  ): Counter | Gauge | Histogram {
    const known = this.#series.get(name)
    if (known !== undefined) return known
    const { prometheus, registry } = present(this.#loaded, 'metrics are used once they are loaded')
    const { Counter, Gauge, Histogram } = prometheus
    const registers = [registry]
    const config = {
      name,
      help: name.replaceAll('_', ' '),
      labelNames: Object.keys(labels),
      registers,
    }
    const made =
      kind === 'Counter'
        ? new Counter(config)
        : kind === 'Gauge'
          ? new Gauge(config)
          : new Histogram({ ...config, buckets: name.endsWith('_ms') ? DURATIONS : SIZES })
    this.#series.set(name, made)
    return made
  }
}

function keyOf(name: string, labels: MetricLabels): string {
  let key = name
  for (const label in labels) key += `\n${labels[label]}`
  return key
}

/** Powers of ten, and between each and the next the threefold. */
function steps(from: number, to: number): number[] {
  const powers = Array.from({ length: to - from }, (_, index) => from + index)
  return [...powers.flatMap((power) => [Number(`1e${power}`), Number(`3e${power}`)]), 10 ** to]
}
