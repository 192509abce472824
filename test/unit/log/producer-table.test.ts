import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import {
  PRODUCER_APPENDS_MAX,
  PRODUCER_EXPIRY_MS,
  PRODUCER_KEPT_MS,
  PRODUCERS_MAX,
} from '../../../src/format/limits.ts'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import type { PartitionState } from '../../../src/format/manifest.ts'
import type { Producer } from '../../../src/format/producer.ts'
import { ProducerTable, producerEdits } from '../../../src/log/producer-table.ts'
import { logDefinition } from '../../support/manifests.ts'

const stamp = (sequence: number, epoch = 0, producerId = 'a'): Producer => ({
  producerId,
  epoch,
  sequence,
})

/** What the table answers: `new`, where the append is, or the code of the error with what it expects. */
function answer(table: ProducerTable, producer: Producer, count = 1, now = 0): unknown {
  try {
    return table.find(producer, count, now) ?? 'new'
  } catch (error) {
    if (!isStratalogError(error)) throw error
    const { expected, currentEpoch } = error.details
    return [error.code, expected, currentEpoch].filter((value) => value !== undefined)
  }
}

/** Three appends of epoch 2, of ten records each, at 0, 10 and 20. */
function three(): ProducerTable {
  const table = new ProducerTable([])
  for (const sequence of [0, 1, 2])
    table.note(stamp(sequence, 2), { offset: sequence * 10, count: 10 }, 1_000)
  return table
}

test('the newest append of a producer is known, and none of one that is not', () => {
  const table = three()
  expect(table.newest('a')).toEqual(stamp(2, 2))
  expect(table.newest('b')).toBeNull()
  table.takeBack(0)
  expect(table.newest('a')).toEqual(stamp(-1, 2))
})

describe('the protocol', () => {
  test.each<[string, Producer, number, unknown]>([
    ['the next sequence is new', stamp(3, 2), 10, 'new'],
    ['the newest again is where it was', stamp(2, 2), 10, { offset: 20, count: 10 }],
    ['an older one again is where it was', stamp(0, 2), 10, { offset: 0, count: 10 }],
    ['another count is refused', stamp(2, 2), 9, ['producer_append_differs', 10]],
    ['a gap is refused', stamp(5, 2), 10, ['producer_sequence_gap', 3, 2]],
    ['a lower epoch is fenced', stamp(3, 1), 10, ['producer_fenced', 2]],
    [
      'a lower epoch is fenced, also with what was applied',
      stamp(0, 1),
      10,
      ['producer_fenced', 2],
    ],
    ['a higher epoch begins at 0', stamp(0, 3), 10, 'new'],
    ['a higher epoch begins nowhere else', stamp(3, 3), 10, ['producer_sequence_gap', 0, 2]],
    ['an unknown producer begins at 0', stamp(0, 0, 'b'), 10, 'new'],
    ['an unknown one begins in any epoch', stamp(0, 9, 'b'), 10, 'new'],
    ['and nowhere else', stamp(1, 0, 'b'), 10, ['producer_sequence_gap', 0, null]],
  ])('%s', (_, producer, count, expected) => {
    const table = three()
    const before = table.states()
    expect(answer(table, producer, count)).toEqual(expected)
    expect(table.states()).toEqual(before)
  })

  test('what is too old to be remembered is known to have been applied', () => {
    const table = new ProducerTable([])
    for (let sequence = 0; sequence <= PRODUCER_APPENDS_MAX; sequence++)
      table.note(stamp(sequence), { offset: sequence, count: 1 }, 0)
    expect(answer(table, stamp(0))).toEqual(['producer_append_old'])
    expect(answer(table, stamp(1))).toEqual({ offset: 1, count: 1 })
    expect(table.states()[0]?.offsets).toHaveLength(PRODUCER_APPENDS_MAX)
  })

  test('a higher epoch forgets the appends of the one before', () => {
    const table = three()
    table.note(stamp(0, 3), { offset: 50, count: 1 }, 2_000)
    expect(answer(table, stamp(0, 3))).toEqual({ offset: 50, count: 1 })
    expect(answer(table, stamp(1, 3))).toBe('new')
    expect(answer(table, stamp(1, 2))).toEqual(['producer_fenced', 3])
  })
})

describe('the number of producers', () => {
  const full = (time: number): ProducerTable => {
    const table = new ProducerTable([])
    for (let index = 0; index < PRODUCERS_MAX; index++)
      table.note(stamp(0, 0, `p${index}`), { offset: index, count: 1 }, time + index)
    return table
  }

  test('is bounded: another one is refused while all of them are in use', () => {
    const table = full(0)
    expect(answer(table, stamp(0, 0, 'new'), 1, PRODUCER_KEPT_MS - 1)).toEqual(['producers_full'])
    expect(answer(table, stamp(1, 0, 'p5'), 1, PRODUCER_KEPT_MS - 1)).toBe('new')
  })

  test('the one that is idle longest gives way, and is unknown from then on', () => {
    const table = full(0)
    table.note(stamp(1, 0, 'p0'), { offset: 5_000, count: 1 }, 2_000)
    const now = PRODUCER_KEPT_MS + 1
    expect(answer(table, stamp(0, 0, 'new'), 1, now)).toBe('new')
    table.note(stamp(0, 0, 'new'), { offset: 6_000, count: 1 }, now)
    expect(table.size).toBe(PRODUCERS_MAX)
    expect(answer(table, stamp(1, 0, 'p1'))).toEqual(['producer_sequence_gap', 0, null])
    expect(answer(table, stamp(1, 0, 'p0'))).toEqual({ offset: 5_000, count: 1 })
  })

  test('those that are idle for long are forgotten when another one begins, and not before', () => {
    const table = three()
    const later = 1_000 + PRODUCER_EXPIRY_MS
    expect(answer(table, stamp(3, 2), 10, later)).toBe('new')
    table.note(stamp(0, 0, 'b'), { offset: 90, count: 1 }, later - 1)
    expect(table.size).toBe(2)
    table.note(stamp(0, 0, 'c'), { offset: 91, count: 1 }, later)
    expect(table.states().map(({ producerId }) => producerId)).toEqual(['b', 'c'])
  })

  test('a clock that goes back forgets nobody', () => {
    const table = three()
    table.note(stamp(0, 0, 'b'), { offset: 90, count: 1 }, 1_000 - 2 * PRODUCER_EXPIRY_MS)
    expect(table.size).toBe(2)
  })
})

test('whatever was appended, the table answers as one that remembers all would, and so it does from its states', () => {
  const id = fc.constantFrom('a', 'b', 'c')
  const append = fc.record({ id, newEpoch: fc.nat(9), count: fc.integer({ min: 1, max: 3 }) })
  fc.assert(
    fc.property(fc.array(append, { maxLength: 120 }), (appends) => {
      let table = new ProducerTable([])
      const all = new Map<string, { epoch: number; at: { offset: number; count: number }[] }>()
      let next = 0
      for (const { id: producerId, newEpoch, count } of appends) {
        const known = all.get(producerId) ?? { epoch: 0, at: [] }
        if (newEpoch === 0) all.set(producerId, { epoch: known.epoch + 1, at: [] })
        else all.set(producerId, known)
        const now = all.get(producerId) ?? known
        const producer = { producerId, epoch: now.epoch, sequence: now.at.length }
        expect(answer(table, producer, count)).toBe('new')
        now.at.push({ offset: next, count })
        table.note(producer, { offset: next, count }, next)
        next += count
        if (count === 3) table = new ProducerTable(table.states())
      }
      for (const [producerId, { epoch, at }] of all) {
        for (const [sequence, append_] of at.entries()) {
          const isKept = sequence >= at.length - PRODUCER_APPENDS_MAX
          expect(answer(table, { producerId, epoch, sequence }, append_.count)).toEqual(
            isKept ? append_ : ['producer_append_old'],
          )
        }
      }
    }),
  )
})

test('edits bring a manifest to what is known, and there are none when it is there', () => {
  const created = { kind: 'log-created', log: logDefinition(1), startOffsets: [0] } as const
  const noted = (state: ReturnType<typeof emptyManifestState>): PartitionState | undefined =>
    state.logs.get(1)?.partitions[0]
  let state = applyEdits(emptyManifestState(), [created])
  const table = three()
  for (const step of [0, 1, 2]) {
    if (step === 1) table.note(stamp(3, 2), { offset: 30, count: 10 }, 1_500)
    if (step === 2) {
      // The first expires when another one begins.
      table.note(stamp(0, 0, 'b'), { offset: 40, count: 1 }, 1_500 + PRODUCER_EXPIRY_MS)
    }
    state = applyEdits(state, producerEdits(1, 0, noted(state), table.states()))
    expect([...(noted(state)?.producers?.values() ?? [])]).toEqual(table.states())
    expect(producerEdits(1, 0, noted(state), table.states())).toEqual([])
  }
  expect(noted(state)?.producers?.has('a')).toBe(false)
})

test('what the WAL brings back again changes nothing, and what it has more is noted', () => {
  const table = three()
  const before = table.states()
  for (const sequence of [0, 1, 2])
    table.restore(stamp(sequence, 2), { offset: sequence * 10, count: 10 }, 1_000)
  expect(table.states()).toEqual(before)
  table.restore(stamp(3, 2), { offset: 30, count: 10 }, 1_000)
  expect(answer(table, stamp(3, 2), 10)).toEqual({ offset: 30, count: 10 })
})
