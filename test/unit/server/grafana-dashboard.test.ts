/** The Grafana dashboard asks for what `/metrics` has, by names, kinds and labels: held to the code. */
import { describe, expect, test } from 'vitest'
import { DRAIN_MS } from '../../../src/server/limits.ts'
import { PrometheusMetrics } from '../../../src/server/prometheus.ts'
import { filesBelow, readText } from '../../support/repository.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

type Kind = 'counter' | 'gauge' | 'histogram'

interface Metric {
  readonly kind: Kind
  readonly labels: ReadonlySet<string>
}

const KIND_OF_CALL: Readonly<Record<string, Kind>> = {
  count: 'counter',
  gauge: 'gauge',
  observe: 'histogram',
}

/** What prometheus.ts is told by the code, and what it has of the process by itself. */
async function exposed(): Promise<ReadonlyMap<string, Metric>> {
  const metrics = new Map<string, Metric>()
  const { body } = await new PrometheusMetrics().text()
  for (const [, name = '', kind = ''] of body.matchAll(/^# TYPE (\w+) (\w+)$/gm))
    metrics.set(name, { kind: kind as Kind, labels: new Set() })
  for (const { text } of filesBelow('src', '.ts')) {
    for (const call of text.matchAll(/\b(count|gauge|observe)\(\s*'(stratalog_\w+)'/g)) {
      const [begin, method = '', name = ''] = call
      const argumentsText = upToParenthesis(text.slice(call.index + begin.length))
      const object = /\{([^{}]*)\}\s*,?\s*$/.exec(argumentsText)?.[1] ?? ''
      const labels = object.split(',').map((part) => part.split(':')[0]?.trim() ?? '')
      const known = metrics.get(name)?.labels ?? []
      const kind = KIND_OF_CALL[method] ?? 'gauge'
      metrics.set(name, { kind, labels: new Set([...known, ...labels]) })
    }
  }
  return metrics
}

/** The rest of a call, to the parenthesis that ends it. */
function upToParenthesis(text: string): string {
  let depth = 1
  for (const { 0: parenthesis, index } of text.matchAll(/[()]/g)) {
    depth += parenthesis === '(' ? 1 : -1
    if (depth === 0) return text.slice(0, index)
  }
  return text
}

interface Use {
  readonly name: string
  /** Whether it is asked how fast it grows. */
  readonly isRate: boolean
}

function usesOf(expr: string): readonly Use[] {
  return [...expr.matchAll(/(\b(?:rate|increase)\()?\b(stratalog_\w+)/g)].map(
    ([, rate, name = '']) => ({ name, isRate: rate !== undefined }),
  )
}

/** Those that a sum keeps, and those that a legend shows. */
function labelsOf(expr: string, legend: string): readonly string[] {
  const kept = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names = '']) =>
    names.split(', '),
  )
  const shown = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, name = '']) => name)
  return [...kept, ...shown].filter((name) => name !== 'le')
}

/** What is wrong with a question; empty where it can be answered. */
function problemsOf(
  metrics: ReadonlyMap<string, Metric>,
  expr: string,
  legend: string,
): readonly string[] {
  const uses = usesOf(expr)
  if (uses.length === 0) return ['asks for nothing']
  const problems: string[] = []
  const known = new Set<string>()
  for (const { name, isRate } of uses) {
    const whole = name.replace(/_(bucket|sum|count)$/, '')
    const metric = metrics.get(name) ?? metrics.get(whole)
    if (metric === undefined) {
      problems.push(`${name} is not exposed`)
      continue
    }
    for (const label of metric.labels) known.add(label)
    if ((metric.kind === 'histogram') !== (whole !== name))
      problems.push(`${name} is a ${metric.kind}`)
    if ((metric.kind === 'gauge') === isRate) problems.push(`${name} is a ${metric.kind}`)
  }
  const unknown = labelsOf(expr, legend).filter((label) => !known.has(label))
  return [...problems, ...unknown.map((label) => `there is no label ${label}`)]
}

const dashboard = JSON.parse(readText('docker/grafana-dashboard.json')) as {
  readonly uid: string
  readonly panels: readonly Panel[]
}
const panels = dashboard.panels.filter(({ type }) => type !== 'row')

describe('the Grafana dashboard', () => {
  test('asks for metrics that there are, by their kinds and labels', async () => {
    const metrics = await exposed()
    const found = panels.flatMap(({ title, targets = [] }) =>
      targets.flatMap(({ expr, legendFormat }) =>
        problemsOf(metrics, expr, legendFormat).map((problem) => `${title}: ${problem}`),
      ),
    )
    expect(found).toEqual([])
  })

  test('is of metrics that docs/metrics.md lists, all that there are, with kinds and labels', async () => {
    const listed = new Map<string, string>()
    for (const row of readText('docs/metrics.md').split('\n')) {
      const [, names = '', kind = '', labels = ''] = row.split('|').map((cell) => cell.trim())
      const words = [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label)
      for (const [, name = ''] of names.matchAll(/`(stratalog_\w+)`/g))
        listed.set(name, [kind, ...words.sort()].join(' '))
    }
    const metrics = [...(await exposed())].map(([name, { kind, labels }]) => {
      const words = [...labels].filter((label) => label !== '').sort()
      // Of the process prom-client knows the labels.
      const isOurs = !/^stratalog_(process|nodejs)_/.test(name)
      return [name, isOurs ? [kind, ...words].join(' ') : listed.get(name)] as const
    })
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(metrics))
  })

  test('has panels that each ask for something, and that are told apart', () => {
    expect(panels.length).toBeGreaterThan(20)
    for (const { title, targets = [] } of panels) expect(targets.length, title).toBeGreaterThan(0)
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length)
  })

  test('is provisioned by the compose file, whose images are pinned', () => {
    const compose = readText('docker/compose.yaml')
    expect(compose).toContain('./grafana-dashboard.json:/dashboards/')
    const images = [...compose.matchAll(/^ +image: (.+)$/gm)].map(([, image = '']) => image)
    expect(images.length).toBeGreaterThan(3)
    for (const image of images) expect(image).toMatch(/^[\w/-]+:[\w.-]*\d+[\w.-]*$/)
  })

  test('watches a server that has time to end, says whether it is ready, and comes back', () => {
    const [, service = ''] = readText('docker/compose.yaml').split('\n  server:\n')
    const server = service.split(/\n {2}\w/)[0] ?? ''
    const graceSeconds = Number(/^ {4}stop_grace_period: (\d+)s$/m.exec(server)?.[1])
    expect(graceSeconds * 1_000).toBeGreaterThan(2 * DRAIN_MS)
    expect(server).toMatch(/^ {4}restart: unless-stopped$/m)
    expect(server).toMatch(/^ {4}healthcheck:\n[^#]*\/readyz/m)
  })

  test.each([
    ['stratalog_nothing', '', 'stratalog_nothing is not exposed'],
    ['stratalog_http_requests_total', '', 'is a counter'],
    ['rate(stratalog_memory_used_bytes[1m])', '', 'is a gauge'],
    ['rate(stratalog_http_request_ms[1m])', '', 'is a histogram'],
    ['rate(stratalog_upload_bytes_bucket[1m])', '', 'is not exposed'],
    ['sum by (mood) (rate(stratalog_http_requests_total[1m]))', '', 'there is no label mood'],
    ['stratalog_jobs', '{{kind}}', 'there is no label kind'],
    ['up', '', 'asks for nothing'],
  ])('would be found out by %s', async (expr, legend, problem) => {
    expect(problemsOf(await exposed(), expr, legend)).toEqual([expect.stringContaining(problem)])
  })
})
