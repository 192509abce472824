import { expect, test } from 'vitest'
import { SupersededRecords } from '../../../src/log/superseded-records.ts'
import { sampleBatch, sampleSchema, withDictionary } from '../../support/sample-batches.ts'

const schema = sampleSchema({ key: 'utf8', _deleted: 'bool' })

interface Given {
  readonly snapshotEnds?: readonly number[]
  readonly tombstones?: { readonly from: number; readonly to: number }
  readonly hasDictionary?: boolean
}

/** Offsets that may go of records in order; a key that ends in `!` is deleted, and null is no key. */
function gone(keys: readonly (string | null)[], given: Given = {}): number[] {
  const { snapshotEnds = [], tombstones = { from: 0, to: 0 }, hasDictionary = false } = given
  const found = new SupersededRecords({ type: 'utf8', snapshotEnds, tombstones })
  const texts = keys.map((key) => key?.replace('!', '') ?? null)
  const rows = keys.map((key, row) => ({ key: texts[row], _deleted: key?.endsWith('!') ?? false }))
  for (const [from, to] of [
    [0, 3],
    [3, keys.length],
  ] as const) {
    const batch = sampleBatch(schema, rows.slice(from, to), { baseOffset: from })
    const [key, deleted] = batch.columns
    if (key === undefined || deleted === undefined) continue
    const coded = hasDictionary ? withDictionary(key, texts.slice(from, to)) : key
    found.add({ ...batch, columns: [coded, deleted] }, 'key')
  }
  return keys
    .map((_, offset) => offset)
    .filter((offset) => found.gone.count(offset, offset + 1) > 0)
}

test.each([false, true])('all but the newest of a key go (dictionary: %s)', (hasDictionary) => {
  expect(gone(['a', 'b', 'a', null, 'a', null, 'c', 'b'], { hasDictionary })).toEqual([0, 1, 2])
})

test('a record goes only where no snapshot ends between it and the newer one', () => {
  expect(gone(['a', 'a', 'a', 'a', 'a'], { snapshotEnds: [4, 2] })).toEqual([0, 2])
  expect(gone(['a', 'b', 'a'], { snapshotEnds: [0, 3] })).toEqual([0])
  expect(gone(['a', 'b', 'a'], { snapshotEnds: [1] })).toEqual([])
  expect(gone(['a', 'b', 'a'], { snapshotEnds: [2] })).toEqual([])
})

test('a tombstone stays while something older of its key is there', () => {
  const tombstones = { from: 0, to: 100 }
  expect(gone(['a', 'a!', 'b!', 'c!', 'c'], { tombstones })).toEqual([0, 2, 3])
  // The older one stays for a snapshot, and so does what deletes it.
  expect(gone(['a', 'a!', 'b'], { tombstones, snapshotEnds: [1] })).toEqual([])
})

test('a tombstone stays until an earlier look was at it, and while a snapshot needs it', () => {
  expect(gone(['a!', 'b!', 'c!', 'd!'], { tombstones: { from: 1, to: 3 } })).toEqual([1, 2])
  expect(gone(['a!', 'b', 'a'], { tombstones: { from: 0, to: 0 } })).toEqual([0])
})
