import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Watermark } from '../../../../src/query/stream/watermark.ts'

const PARTITIONS = 3

type Step =
  | { readonly kind: 'observe'; readonly partition: number; readonly time: number }
  | { readonly kind: 'idle'; readonly partition: number; readonly isIdle: boolean }

const partition = fc.integer({ min: 0, max: PARTITIONS - 1 })
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('observe' as const),
      partition,
      time: fc.integer({ min: -50, max: 50 }),
    }),
    fc.record({ kind: fc.constant('idle' as const), partition, isIdle: fc.boolean() }),
  ),
)

test('the watermark is the least newest time of the partitions that speak, and never goes back', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 0, max: 20 }), (all, lateness) => {
      const watermark = new Watermark(lateness, Array<number>(PARTITIONS).fill(-Infinity))
      const newest = Array<number>(PARTITIONS).fill(-Infinity)
      const idle = Array<boolean>(PARTITIONS).fill(false)
      let expected = -Infinity
      for (const step of all) {
        if (step.kind === 'idle') {
          idle[step.partition] = step.isIdle
          watermark.setIdle(step.partition, step.isIdle)
        } else {
          newest[step.partition] = Math.max(newest[step.partition] ?? 0, step.time)
          watermark.observe(step.partition, step.time)
        }
        const speaking = newest.filter((_, index) => idle[index] === false)
        const held = speaking.length === 0 ? Math.max(...newest) : Math.min(...speaking)
        expected = Math.max(expected, held - lateness)
        expect(watermark.value).toBe(expected)
        const beside = newest.filter((_, index) => index !== 0 && idle[index] === false)
        expect(watermark.leastBeside(0)).toBe(Math.min(Infinity, ...beside))
      }
    }),
  )
})

test('a partition of which nothing was read holds the others up until it is left out', () => {
  const watermark = new Watermark(0, [-Infinity, -Infinity])
  watermark.observe(0, 1_000)
  expect(watermark.value).toBe(-Infinity)
  watermark.setIdle(1, true)
  expect(watermark.value).toBe(1_000)
  watermark.setIdle(1, false)
  watermark.observe(1, 500)
  expect(watermark.value).toBe(1_000)
})
