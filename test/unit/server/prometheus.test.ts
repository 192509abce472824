/** What is scraped is what prom-client says of the same figures. */
import prometheus from 'prom-client'
import { expect, test } from 'vitest'
import { PrometheusMetrics } from '../../../src/server/prometheus.ts'

/** The figures with these names, without those of the process. */
function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => /\b(asked_total|waiting|took_ms|got_bytes)/.test(line))
}

test('counters, gauges and histograms are written as prom-client writes them, before and after a scrape', async () => {
  const ours = new PrometheusMetrics()
  const registry = new prometheus.Registry()
  const registers = [registry]
  const named = (name: string, labelNames: string[]) =>
    ({ name, help: name.replaceAll('_', ' '), labelNames, registers }) as const
  const asked = new prometheus.Counter(named('asked_total', ['route', 'status']))
  const waiting = new prometheus.Gauge(named('waiting', []))
  const powers = (from: number, to: number): number[] =>
    Array.from({ length: to - from }, (_, at) => [`1e${from + at}`, `3e${from + at}`].map(Number))
      .flat()
      .concat(10 ** to)
  const took = new prometheus.Histogram({
    ...named('took_ms', ['route']),
    buckets: powers(-3, 6),
  })
  const got = new prometheus.Histogram({ ...named('got_bytes', []), buckets: powers(0, 8) })

  const useAll = (): void => {
    for (const [index, route] of ['/v1/logs', 'a "quoted"\\name', ''].entries()) {
      const labels = { route, status: String(200 + index) }
      ours.count('asked_total', index + 1, labels)
      asked.inc(labels, index + 1)
      // Below all buckets, at an edge, between two, beyond all.
      for (const value of [0, 0.003, 0.1 + 0.2, 10 ** 6, 10 ** 7]) {
        ours.observe('took_ms', value * (index + 1), { route })
        took.observe({ route }, value * (index + 1))
        ours.observe('got_bytes', value)
        got.observe(value)
      }
      ours.gauge('waiting', 7 - index)
      waiting.set(7 - index)
    }
  }
  for (let scrapes = 0; scrapes < 2; scrapes++) {
    useAll()
    const { contentType, body } = await ours.text()
    expect(contentType).toBe(registry.contentType)
    const [seen, expected] = [lines(body), lines(await registry.metrics())]
    expect(new Set(seen)).toEqual(new Set(expected))
    expect(seen).toHaveLength(expected.length)
  }
})

test('a name that is first used after a scrape is in the next one', async () => {
  const metrics = new PrometheusMetrics()
  await metrics.text()
  metrics.count('asked_total', 3)
  const { body } = await metrics.text()
  expect(body).toContain('\nasked_total 3\n')
})
