import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SegmentEntry } from '../../../src/format/manifest.ts'
import { SegmentEntries, SegmentEntriesEditor } from '../../../src/format/segment-entries.ts'
import { segmentEntry } from '../../support/manifests.ts'

const COPY = { object: 'a/b', position: 0, length: 32 }

function entriesOf(count: number): SegmentEntries {
  return SegmentEntries.of(
    Array.from({ length: count }, (_, index) => segmentEntry(10 * index, 10 * index + 5)),
  )
}

/** One random change to a list and to the array that is its model. */
function change(
  editor: SegmentEntriesEditor,
  model: SegmentEntry[],
  [kind, place]: readonly [number, number],
): void {
  const index = Math.floor(place * model.length)
  const own = model[index]
  if (kind === 0 || own === undefined) {
    const after = model[index - 1]?.endOffset ?? 0
    if (own !== undefined && own.baseOffset - after < 2) return
    const added = segmentEntry(after, after + 1)
    editor.insert(added)
    model.splice(own === undefined ? model.length : index, 0, added)
    return
  }
  const found = editor.at(own.baseOffset)
  if (found === null) throw new Error('a segment is not found')
  if (kind === 1) {
    editor.remove(found)
    model.splice(index, 1)
  } else {
    const copied = { ...own, object: own.object === null ? COPY : null }
    editor.replace(found, copied)
    model[index] = copied
  }
}

describe('the list of segments', () => {
  test('is what an array would be, whatever is changed', () => {
    const step = fc.tuple(fc.nat(2), fc.double({ min: 0, max: 0.999, noNaN: true }))
    fc.assert(
      fc.property(
        fc.nat(3_000),
        fc.array(step, { maxLength: 60 }),
        fc.nat(),
        (count, steps, at) => {
          let list = entriesOf(count)
          const model = [...list]
          for (let first = 0; first < steps.length; first += 7) {
            const editor = new SegmentEntriesEditor(list)
            for (const one of steps.slice(first, first + 7)) change(editor, model, one)
            list = editor.build()
          }
          expect([...list]).toEqual(model)
          expect(list.length).toBe(model.length)
          expect(list.at(-1)).toEqual(model.at(-1))
          const index = at % (model.length + 1)
          expect(list.at(index)).toEqual(model[index])
          const offset = model[index]?.baseOffset ?? Infinity
          expect(list.indexAt(offset)).toBe(index)
          expect([...list.from(offset)]).toEqual(model.slice(index))
          for (const tier of ['disk', 'object'] as const) {
            const having = model.filter((entry) => entry[tier] !== null)
            expect([...list.having(tier)]).toEqual(having)
            expect(list.countHaving(tier)).toBe(having.length)
            expect([...list.lacking(tier)]).toEqual(model.filter((entry) => entry[tier] === null))
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  test('a change copies the chunk that it is in, and no other', () => {
    const list = entriesOf(10_000)
    const editor = new SegmentEntriesEditor(list)
    const found = editor.at(50_000)
    if (found === null) throw new Error('a segment is not found')
    editor.replace(found, { ...found.entry, object: COPY })
    const changed = editor.build()
    const shared = changed.chunks.filter((chunk) => list.chunks.includes(chunk))
    expect([changed.chunks.length - shared.length, list.chunks.length]).toEqual([1, 10])
    expect(list.startingAt(50_000)?.object).toBeNull()
    expect(changed.startingAt(50_000)?.object).toEqual(COPY)
  })

  test('pruned from the front it keeps few chunks', () => {
    let list = entriesOf(10_000)
    for (let offset = 0; offset < 99_000; offset += 10) {
      const editor = new SegmentEntriesEditor(list)
      const found = editor.at(offset)
      if (found !== null) editor.remove(found)
      list = editor.build()
    }
    expect([list.length, list.chunks.length]).toEqual([100, 1])
  })
})
