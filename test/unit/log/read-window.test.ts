import { expect, test } from 'vitest'
import { readWindow } from '../../../src/log/read-window.ts'
import { Surroundings, appendRows, liveLog } from '../../support/live-logs.ts'

const MIB = 1024 * 1024

test('a reader pins a few batches at a time, and its windows follow each other without a hole', async () => {
  const log = liveLog(new Surroundings())
  const rows = Array.from({ length: 20 }, () => ({ text: 'x'.repeat(MIB / 20) }))
  for (let append = 0; append < 12; append++) await appendRows(log, rows)
  const partition = log.partition(0)
  const end = partition.nextOffset
  let from = 7
  let windows = 0
  while (from < end) {
    const window = readWindow(partition, from, end)
    expect(window.start).toBe(from)
    expect(window.end).toBeGreaterThan(from)
    const { view, release } = partition.view(window)
    expect(view.endOffset).toBe(window.end)
    const pinned = partition.batches.filter(({ isLeased }) => isLeased)
    expect(pinned.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(6 * MIB)
    release()
    from = window.end
    windows++
  }
  expect(windows).toBeGreaterThan(2)
  expect(readWindow(partition, 3, 5)).toEqual({ start: 3, end: 5 })
})
