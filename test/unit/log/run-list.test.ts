import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MemoryAccount } from '../../../src/log/memory-account.ts'
import { RunList } from '../../../src/log/run-list.ts'
import { BudgetExceeded, SlabPool } from '../../../src/log/slab-pool.ts'

function account(maxBytes: number | null = null): MemoryAccount {
  const memory = new MemoryAccount(new SlabPool({ freeBytesMax: 0, poison: true }))
  memory.setBudget(maxBytes, 0.9)
  return memory
}

test('a run list gives back the terms of every row, finds rows by offset, and counts its bytes', () => {
  const row = fc.record({
    skip: fc.constantFrom(0, 0, 0, 0, 3),
    expiresAt: fc.constantFrom(Infinity, 5, 9),
    priority: fc.constantFrom(0, 0, 1),
  })
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 60 }), (rows) => {
      const memory = account()
      const list = new RunList(memory, 100)
      let next = 100
      const offsets = rows.map(({ skip, expiresAt, priority }, index) => {
        const offset = index === 0 ? next : next + skip
        next = offset + 1
        list.add(index + 1, offset, expiresAt, priority)
        return offset
      })
      const runs = Array.from({ length: list.count }, (_, run) => run)
      const terms = runs.flatMap((run) =>
        Array.from({ length: list.rowEndOf(run) - list.rowStart(run) }, (_, index) => ({
          offset: list.offsetOf(run) + index,
          expiresAt: list.expiresAt(run),
          priority: list.priority(run),
        })),
      )
      expect(terms).toEqual(
        rows.map(({ expiresAt, priority }, index) => ({
          offset: offsets[index],
          expiresAt,
          priority,
        })),
      )
      for (let offset = 95; offset < next + 5; offset++)
        expect(list.rowAt(offset)).toBe(offsets.indexOf(offset))
      expect(list.endOffset).toBe(next)
      expect(list.expiresMin).toBe(Math.min(...rows.map(({ expiresAt }) => expiresAt)))
      expect(list.expiresMax).toBe(Math.max(...rows.map(({ expiresAt }) => expiresAt)))
      list.seal()
      const every = Int32Array.from(runs)
      expect(list.rowRanges(every)).toEqual(Int32Array.of(0, rows.length))
      // Every other run: its rows, and nothing that touches.
      const some = every.filter((run) => run % 2 === 0)
      expect([...list.rowRanges(some)]).toEqual(
        [...some].flatMap((run) => [list.rowStart(run), list.rowEndOf(run)]),
      )
      expect(memory.usedBytes).toBe(list.bytes)
      list.free()
      expect(memory.usedBytes).toBe(0)
    }),
  )
})

test('equal neighbours are one run', () => {
  const list = new RunList(account(), 0)
  for (let row = 1; row <= 1_000; row++) list.add(row, row - 1, 7, 1)
  expect([list.count, list.rowEnd]).toEqual([1, 1_000])
})

test('a run that the budget does not hold is not added', () => {
  const list = new RunList(account(100), 0)
  for (let row = 1; row <= 4; row++) list.add(row, row - 1, row, 0)
  expect(() => list.add(5, 4, 5, 0)).toThrow(BudgetExceeded)
  expect([list.count, list.endOffset]).toEqual([4, 4])
})
