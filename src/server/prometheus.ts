/**
 * The metrics port as Prometheus has it. Figures are kept here; `prom-client`, which writes them and adds those of the
 * process, is loaded when they are asked for the first time, so that no start and no request waits for it.
 */
import type { Counter, Registry } from 'prom-client'
import type { MetricLabels, Metrics } from '../base/metrics.ts'
import { HistogramSeries, NumberSeries, type ScrapedMetric } from './metric-series.ts'

/** Of durations, in ms: two steps a decade, from a microsecond to a quarter of an hour. */
const DURATIONS = steps(-3, 6)

/** Of sizes: two steps a decade, up to what one append may have. */
const SIZES = steps(0, 8)

export class PrometheusMetrics implements Metrics {
  readonly #counters = new Map<string, NumberSeries>()
  readonly #gauges = new Map<string, NumberSeries>()
  readonly #histograms = new Map<string, HistogramSeries>()
  /** Not in the registry yet. */
  #unlisted: ScrapedMetric[] = []
  #registry: Promise<Registry> | null = null

  count(name: string, delta: number, labels: MetricLabels = {}): void {
    const series =
      this.#counters.get(name) ?? this.#begin(this.#counters, new NumberSeries(name, 'counter'))
    series.add(delta, labels)
  }

  gauge(name: string, value: number, labels: MetricLabels = {}): void {
    const series =
      this.#gauges.get(name) ?? this.#begin(this.#gauges, new NumberSeries(name, 'gauge'))
    series.set(value, labels)
  }

  observe(name: string, value: number, labels: MetricLabels = {}): void {
    const series = this.#histograms.get(name) ?? this.#begin(this.#histograms, histogramOf(name))
    series.observe(value, labels)
  }

  /** The text that is scraped, with its content type. */
  async text(): Promise<{ readonly contentType: string; readonly body: string }> {
    this.#registry ??= openRegistry()
    const registry = await this.#registry
    // It asks a metric for its name and its values only.
    for (const series of this.#unlisted.splice(0))
      registry.registerMetric(series as unknown as Counter)
    return { contentType: registry.contentType, body: await registry.metrics() }
  }

  #begin<T extends ScrapedMetric>(all: Map<string, T>, series: T): T {
    all.set(series.name, series)
    this.#unlisted.push(series)
    return series
  }
}

/** With the figures of the process. */
async function openRegistry(): Promise<Registry> {
  const { default: prometheus } = await import('prom-client')
  const registry = new prometheus.Registry()
  prometheus.collectDefaultMetrics({ register: registry, prefix: 'stratalog_' })
  return registry
}

function histogramOf(name: string): HistogramSeries {
  return new HistogramSeries(name, name.endsWith('_ms') ? DURATIONS : SIZES)
}

/** Powers of ten, and between each and the next the threefold. */
function steps(from: number, to: number): number[] {
  const powers = Array.from({ length: to - from }, (_, index) => from + index)
  return [...powers.flatMap((power) => [Number(`1e${power}`), Number(`3e${power}`)]), 10 ** to]
}
