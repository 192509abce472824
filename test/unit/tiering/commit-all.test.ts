import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { commitAll } from '../../../src/tiering/commit-all.ts'
import { tieringBench } from '../../support/tiering.ts'

test('what cannot be made for one fails for it alone', async () => {
  const bench = await tieringBench()
  const { manifest } = bench.disk
  const [one, other] = [await bench.addLog(), await bench.addLog()]
  const pausing = (logId: number) => () => [{ kind: 'tiering-paused' as const, logId, since: 5 }]
  const diverged = (): never => {
    throw new StratalogError('archive_diverged', 'planted')
  }
  bench.steps.length = 0
  const asked = [pausing(one.id), diverged, pausing(other.id)]
  const outcomes = await Promise.allSettled(commitAll(Promise.resolve(manifest), asked))
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(outcomes[1]).toMatchObject({ reason: { code: 'archive_diverged' } })
  expect([...manifest.state.paused]).toEqual([
    [one.id, 5],
    [other.id, 5],
  ])
  expect(bench.steps.filter((step) => step.startsWith('disk put manifest/'))).toHaveLength(1)
})

test('a place that fails fails all of them, once', async () => {
  const bench = await tieringBench()
  const { manifest } = bench.disk
  const logs = [await bench.addLog(), await bench.addLog()]
  bench.steps.length = 0
  bench.fault = (step) => (step.startsWith('disk put manifest/') ? 'store_unavailable' : null)
  const asked = logs.map(({ id: logId }) => [{ kind: 'tiering-paused' as const, logId, since: 5 }])
  const outcomes = await Promise.allSettled(commitAll(Promise.resolve(manifest), asked))
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(bench.steps.filter((step) => step.startsWith('disk put manifest/'))).toHaveLength(1)
})
