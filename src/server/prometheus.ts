/**
 * The metrics port as Prometheus has it. `prom-client` is loaded once the server listens; what is counted before is
 * kept until then.
 */
import type { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { MetricLabels, Metrics } from '../base/metrics.ts'

type Prometheus = typeof import('prom-client')

/** Of durations in ms and of sizes alike: three steps a decade, from a tenth to ten millions. */
const BUCKETS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7]

/** Before it is loaded; a start counts some dozen things. */
const EARLY_MAX = 10_000

export class PrometheusMetrics implements Metrics {
  #prometheus: Prometheus | null = null
  #registry: Registry | null = null
  readonly #series = new Map<string, Counter | Gauge | Histogram>()
  #early: (() => void)[] = []

  count(name: string, delta: number, labels: MetricLabels = {}): void {
    this.#use(() => this.#metric('Counter', name, labels).inc(labels, delta))
  }

  gauge(name: string, value: number, labels: MetricLabels = {}): void {
    this.#use(() => this.#metric('Gauge', name, labels).set(labels, value))
  }

  observe(name: string, value: number, labels: MetricLabels = {}): void {
    this.#use(() => this.#metric('Histogram', name, labels).observe(labels, value))
  }

  /** Loads what keeps the metrics, and begins with those of the process. */
  async load(): Promise<void> {
    const prometheus = (await import('prom-client')).default
    this.#prometheus = prometheus
    this.#registry = new prometheus.Registry()
    prometheus.collectDefaultMetrics({ register: this.#registry, prefix: 'stratalog_' })
    for (const use of this.#early.splice(0)) use()
  }

  /** The text that is scraped, with its content type. */
  async text(): Promise<{ readonly contentType: string; readonly body: string }> {
    if (this.#registry === null) await this.load()
    const registry = this.#registry
    return { contentType: registry?.contentType ?? '', body: (await registry?.metrics()) ?? '' }
  }

  #use(use: () => void): void {
    if (this.#prometheus !== null) use()
    else if (this.#early.length < EARLY_MAX) this.#early.push(use)
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
    const { Counter, Gauge, Histogram } = this.#prometheus as Prometheus
    const registers = this.#registry === null ? [] : [this.#registry]
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
          : new Histogram({ ...config, buckets: BUCKETS })
    this.#series.set(name, made)
    return made
  }
}
