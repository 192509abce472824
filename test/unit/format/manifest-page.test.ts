import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import { MANIFEST_PAGE_ENTRIES_MAX } from '../../../src/format/limits.ts'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import { decodeBase, encodeBase } from '../../../src/format/manifest-codec.ts'
import { planPages } from '../../../src/format/manifest-page-list.ts'
import { decodePage, encodePage } from '../../../src/format/manifest-page.ts'
import type { ManifestEdit, ManifestState, SegmentEntry } from '../../../src/format/manifest.ts'
import { segmentKey, segmentPath } from '../../../src/format/paths.ts'
import { SegmentChunk } from '../../../src/format/segment-chunk.ts'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import { baseOf, logDefinition, segmentEntry } from '../../support/manifests.ts'

const INTEGER = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER })
const VALUE = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => (x === 0 ? 0 : x)),
  fc.string(),
)
const STATISTICS = fc.record(
  { nullCount: fc.nat(), min: VALUE, max: VALUE },
  { requiredKeys: ['nullCount'] },
)
const PLACE = fc.oneof(
  fc.constant('none' as const),
  fc.constant('made' as const),
  fc.record({ object: fc.constantFrom('packs/a', 'packs/b'), position: fc.nat() }),
)

/** What a segment has besides its offsets. */
const FACTS = fc
  .record({
    length: fc.integer({ min: 1, max: 2 ** 40 }),
    timeMin: fc.oneof(INTEGER, fc.constant(Infinity)),
    timeMax: fc.oneof(INTEGER, fc.constant(-Infinity)),
    appendTimeMin: INTEGER,
    appendTimeMax: INTEGER,
    rawBytes: fc.nat(),
    sha256: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    format: fc.constantFrom('arrow' as const, 'parquet' as const),
    statistics: fc.tuple(STATISTICS),
    disk: PLACE,
    object: PLACE,
  })
  .filter(({ disk, object }) => disk !== 'none' || object !== 'none')

type Facts = typeof FACTS extends fc.Arbitrary<infer T> ? T : never

function entryOf(logId: number, baseOffset: number, facts: Facts): SegmentEntry {
  const { length, format } = facts
  const sha256 = Buffer.from(facts.sha256).toString('hex')
  const name = { logId, partition: 0, baseOffset, sha256, format }
  const copy = (place: Facts['disk'], made: string): SegmentEntry['disk'] => {
    if (place === 'none') return null
    return place === 'made' ? { object: made, position: 0, length } : { ...place, length }
  }
  return {
    ...facts,
    sha256,
    baseOffset,
    endOffset: baseOffset + 3,
    schemaId: 0,
    disk: copy(facts.disk, segmentPath(name)),
    object: copy(facts.object, segmentKey(name)),
  }
}

/** Logs with as many segments each. */
function stateOf(logs: readonly (readonly Facts[])[]): ManifestState {
  const edits: ManifestEdit[] = logs.flatMap((facts, index) => {
    const logId = index + 1
    const field = { name: 'n', type: 'float64', nullable: true } as const
    return [
      { kind: 'log-created', log: logDefinition(logId), startOffsets: [0] },
      { kind: 'schema-added', logId, schema: { id: 0, fields: [field] } },
      ...facts.map((own, row) => ({
        kind: 'segment-added' as const,
        logId,
        partition: 0,
        segment: entryOf(logId, 4 * row, own),
      })),
    ]
  })
  return applyEdits(emptyManifestState(), edits)
}

function entriesOf({ logs }: ManifestState): unknown {
  return [...logs.values()].map((log) => log.partitions.map(({ segments }) => [...segments]))
}

function codeOf(action: () => unknown): string {
  try {
    action()
    return 'none'
  } catch (error) {
    return isStratalogError(error) ? error.code : String(error)
  }
}

/** Writes what a base needs, as the store does, and says how many pages it wrote. */
function writeBase(state: ManifestState): {
  readonly pages: ReadonlyMap<string, Uint8Array>
  readonly root: Uint8Array
} {
  const plan = planPages(state)
  const pages = new Map<string, Uint8Array>()
  const names = [...plan.kept]
  for (const runs of plan.added) {
    const { page, bytes } = encodePage(runs)
    pages.set(page.sha256, bytes)
    names.push(page)
    for (const [index, { source }] of decodePage(bytes, page.sha256, 'f').entries())
      runs[index]?.chunk.storedIn(page, source)
  }
  return { pages, root: encodeBase({ ...baseOf(state), pages: names }) }
}

function readBase(root: Uint8Array, pages: ReadonlyMap<string, Uint8Array>): ManifestState {
  const { pages: names, complete } = decodeBase(root, 'f')
  return complete(
    names.map(({ sha256 }) => decodePage(pages.get(sha256) ?? new Uint8Array(), sha256, 'f')),
  )
}

function manyLogs(count: number, segments: number): ManifestState {
  const edits: ManifestEdit[] = []
  for (let logId = 1; logId <= count; logId++) {
    edits.push(
      { kind: 'log-created', log: logDefinition(logId), startOffsets: [0] },
      { kind: 'schema-added', logId, schema: { id: 0, fields: [] } },
    )
    for (let offset = 0; offset < segments; offset++) edits.push(added(logId, offset))
  }
  return applyEdits(emptyManifestState(), edits)
}

function added(logId: number, offset: number): ManifestEdit {
  const segment = segmentEntry(offset, offset + 1, { statistics: [] })
  return { kind: 'segment-added', logId, partition: 0, segment }
}

describe('a page', () => {
  test('gives back any segments of any logs', () => {
    fc.assert(
      fc.property(fc.array(fc.array(FACTS, { maxLength: 5 }), { maxLength: 6 }), (logs) => {
        const state = stateOf(logs)
        const before = entriesOf(state)
        const { pages, root } = writeBase(state)
        expect(entriesOf(readBase(root, pages))).toEqual(before)
        // The chunks that were written have their entries from their pages by now.
        expect(entriesOf(state)).toEqual(before)
      }),
    )
  })

  test('with any bit flipped, or cut at any length, is refused', () => {
    const state = manyLogs(2, 2)
    const [{ page, bytes } = { page: null, bytes: new Uint8Array() }] =
      planPages(state).added.map(encodePage)
    const name = page?.sha256 ?? ''
    for (const given of [name, null]) {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = Uint8Array.from(bytes)
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        expect(
          codeOf(() => decodePage(damaged, given, 'f')),
          `bit ${bit}`,
        ).toMatch(/^(manifest_corrupt|format_unsupported)$/)
      }
      for (let length = 0; length < bytes.length; length++)
        expect(codeOf(() => decodePage(bytes.subarray(0, length), given, 'f'))).toBe(
          'manifest_corrupt',
        )
    }
    expect(codeOf(() => decodePage(bytes, 'b'.repeat(64), 'f'))).toBe('manifest_corrupt')
  })

  test('says of each segment how it is written, without an entry of it', () => {
    const formats = ['arrow', 'parquet', 'arrow', 'parquet'] as const
    const entries = formats.map((format, index) => segmentEntry(index, index + 1, { format }))
    const { page, bytes } = encodePage([
      { logId: 1, partition: 0, chunk: SegmentChunk.of(entries.slice(0, 1)) },
      { logId: 2, partition: 0, chunk: SegmentChunk.of(entries) },
    ])
    const [, run] = decodePage(bytes, page.sha256, 'f')
    const source = run?.source
    expect(formats.map((_, index) => source?.isArrow(index))).toEqual([true, false, true, false])
    const chunk = SegmentChunk.of(entries)
    if (source !== undefined) chunk.storedIn({ ...page, chunks: 1 }, source)
    expect(Array.from(new SegmentEntries([chunk]).inArrow(), (e) => e.baseOffset)).toEqual([0, 2])
  })

  test.each<[string, Partial<SegmentEntry>]>([
    [
      'a name that leads out of the directory',
      { disk: { object: '../x', position: 0, length: 32 } },
    ],
    ['a segment without a copy', { disk: null, object: null }],
    ['a size that is no whole number', { rawBytes: 0.5 }],
    ['a time that is none', { appendTimeMin: Infinity }],
  ])('of another program with %s is refused', (_, changes) => {
    const chunk = SegmentChunk.of([{ ...segmentEntry(0, 1), ...changes }])
    const { page, bytes } = encodePage([{ logId: 1, partition: 0, chunk }])
    expect(codeOf(() => decodePage(bytes, page.sha256, 'f'))).toBe('manifest_corrupt')
  })

  test.each<[string, number, number, number]>([
    ['of a log that is not there', 9, 0, 0],
    ['of a partition that is not there', 1, 5, 0],
    ['of a schema that is not there', 1, 0, 3],
  ])('%s does not fit its root', (_, logId, partition, schemaId) => {
    const chunk = SegmentChunk.of([segmentEntry(0, 1, { schemaId })])
    const { page, bytes } = encodePage([{ logId, partition, chunk }])
    const root = encodeBase({ ...baseOf(manyLogs(1, 0)), pages: [page] })
    expect(codeOf(() => readBase(root, new Map([[page.sha256, bytes]])))).toBe('manifest_corrupt')
  })

  test('that lies over another does not fit its root', () => {
    const made = [segmentEntry(0, 2), segmentEntry(1, 3)].map((entry) =>
      encodePage([{ logId: 1, partition: 0, chunk: SegmentChunk.of([entry]) }]),
    )
    const root = encodeBase({ ...baseOf(manyLogs(1, 0)), pages: made.map(({ page }) => page) })
    const pages = new Map(made.map(({ page, bytes }) => [page.sha256, bytes]))
    expect(codeOf(() => readBase(root, pages))).toBe('manifest_corrupt')
  })
})

describe('the pages of a base', () => {
  test('that did not change are not written again', () => {
    let state = manyLogs(1, 50_000)
    const first = writeBase(state)
    state = applyEdits(state, [added(1, 50_000), added(1, 50_001)])
    const second = writeBase(state)
    expect([first.pages.size, second.pages.size]).toEqual([49, 1])
    const all = new Map([...first.pages, ...second.pages])
    expect(entriesOf(readBase(second.root, all))).toEqual(entriesOf(state))
  })

  test('hold the segments of many small logs together', () => {
    const { pages } = writeBase(manyLogs(5_000, 2))
    expect(pages.size).toBe(Math.ceil(10_000 / MANIFEST_PAGE_ENTRIES_MAX))
  })

  test('stay few, however seldom and scattered small logs change', () => {
    let state = manyLogs(2_000, 1)
    const all = new Map(writeBase(state).pages)
    let root = new Uint8Array()
    for (let round = 1; round < 30; round++) {
      state = applyEdits(
        state,
        Array.from({ length: 7 }, (_, index) =>
          added(((round * 41 + index * 397) % 2_000) + 1, round),
        ),
      )
      const next = writeBase(state)
      for (const [name, bytes] of next.pages) all.set(name, bytes)
      root = Uint8Array.from(next.root)
      expect(decodeBase(root, 'f').pages.length).toBeLessThan(20)
    }
    expect(entriesOf(readBase(root, all))).toEqual(entriesOf(state))
  })
})
