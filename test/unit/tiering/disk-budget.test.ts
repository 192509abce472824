import { expect, test } from 'vitest'
import { DiskBudget } from '../../../src/tiering/disk-budget.ts'

function budget(usedBytes: number, maxBytes: number | null = 1_000): DiskBudget {
  const made = new DiskBudget({ maxBytes, watermark: 0.9 })
  made.hold(usedBytes)
  return made
}

test('counts a file from its name on until it is gone, and one that is written again once', () => {
  const disk = budget(100)
  disk.written('a', 50)
  disk.written('a', 50)
  expect(disk.usedBytes).toBe(150)
  disk.named('a')
  // A recall of what was dropped is another file of the same name.
  disk.written('a', 50)
  expect(disk.usedBytes).toBe(200)
  const gone = disk.dropped(50)
  expect(disk.usedBytes).toBe(200)
  gone()
  expect(disk.usedBytes).toBe(150)
})

test('asks for nothing below the high watermark, and from there on until the low one', () => {
  const disk = budget(899)
  expect(disk.facts()).toMatchObject({ excessBytes: 0, roomBytes: 101 })
  disk.written('a', 1)
  expect(disk.facts()).toMatchObject({ excessBytes: 100, roomBytes: 100 })
  disk.dropped(60)()
  expect(disk.facts()).toMatchObject({ excessBytes: 40, roomBytes: 160 })
  disk.dropped(40)()
  expect(disk.facts().excessBytes).toBe(0)
  disk.written('b', 90)
  expect(disk.facts().excessBytes).toBe(0)
})

test('counts what a reader still holds as gone, until the line is reached', () => {
  const disk = budget(950)
  disk.dropped(150)
  expect(disk.facts()).toMatchObject({ excessBytes: 0, roomBytes: 50 })
  disk.written('a', 50)
  expect(disk.facts()).toMatchObject({ excessBytes: 200, roomBytes: 0 })
})

test('has no room for what is reserved, and none of it below 0', () => {
  const disk = budget(0)
  const giveBack = disk.reserve(700)
  expect(disk.facts().roomBytes).toBe(300)
  disk.reserve(700)
  expect(disk.facts().roomBytes).toBe(0)
  giveBack()
  expect(disk.facts().roomBytes).toBe(300)
})

test('takes anything before it holds, once it is lifted, and without a size', () => {
  const opening = new DiskBudget({ maxBytes: 10, watermark: 0.9 })
  opening.written('a', 100)
  const lifted = budget(5_000)
  lifted.lift()
  for (const disk of [opening, lifted, budget(5_000, null)])
    expect(disk.facts()).toMatchObject({ roomBytes: Infinity, excessBytes: 0 })
})
