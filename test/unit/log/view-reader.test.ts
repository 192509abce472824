import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LogHasher } from '../../../src/format/content-hash.ts'
import { batchToRows } from '../../../src/format/column-values.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import { openArchive } from '../../../src/log/archive-view.ts'
import type { LogView } from '../../../src/log/log-view.ts'
import type { SegmentDamage } from '../../../src/log/segment-damage.ts'
import {
  type OffsetGap,
  type PartitionReadOptions,
  readPartition,
} from '../../../src/log/view-reader.ts'
import {
  ArchiveFixture,
  FIXTURE_TYPES,
  type FixtureLog,
  fixtureRows,
} from '../../support/archive-fixture.ts'
import { cutBatch, sampleBatch } from '../../support/sample-batches.ts'

async function read(view: LogView, options: PartitionReadOptions = {}): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = []
  for await (const { batch } of readPartition(view, 0, options)) batches.push(batch)
  return batches
}

function offsets(batches: readonly RecordBatch[]): number[] {
  return batches.flatMap((batch) =>
    Array.from({ length: batch.length }, (_, row) => batch.baseOffset + row),
  )
}

/** Three segments of a hundred records in blocks of ten, one record each 10 ms from ms 1,000,000 on. */
async function threeSegments(): Promise<{
  fixture: ArchiveFixture
  log: FixtureLog
  view: LogView
}> {
  const fixture = await ArchiveFixture.create()
  const log = await fixture.addLog('l', FIXTURE_TYPES)
  for (const base of [0, 100, 200])
    await fixture.addSegment(log, 0, base, fixtureRows(base, 100), { blockRows: 10 })
  return {
    fixture,
    log,
    view: (await openArchive(fixture.store)).views()[0] ?? expect.unreachable(),
  }
}

describe('reading a partition', () => {
  test('gives each offset once with its values', async () => {
    const { fixture, log, view } = await threeSegments()
    const batches = await read(view)
    const hasher = new LogHasher(view.schema)
    for (const batch of batches) hasher.add(0, batch)
    expect(hasher.digestHex()).toBe(fixture.hash(log))
    expect(batches.flatMap((batch) => batchToRows(batch))).toEqual(fixtureRows(0, 300))
  })

  test('gives any range of offsets and times, to the record', async () => {
    const { log, view } = await threeSegments()
    const bound = fc.option(fc.integer({ min: -5, max: 310 }), { nil: undefined })
    await fc.assert(
      fc.asyncProperty(bound, bound, bound, bound, async (from, to, since, until) => {
        const ms = (value: number | undefined): number | undefined =>
          value === undefined ? undefined : 1_000_000 + value * 10 - 5
        const got = offsets(await read(view, { from, to, since: ms(since), until: ms(until) }))
        const wanted = log.records
          .map((record) => record.offset)
          .filter((offset) => offset >= (from ?? 0) && offset < (to ?? 300))
          .filter((offset) => offset >= (since ?? 0) && offset < (until ?? 300))
        expect(got).toEqual(wanted)
      }),
      { numRuns: 60 },
    )
  })

  test('reads the wanted columns only, in the order asked for, with a time that is not among them', async () => {
    const { view } = await threeSegments()
    const batches = await read(view, { columns: ['text', 'n'], since: 1_000_500, until: 1_000_530 })
    expect(batches.flatMap((batch) => batchToRows(batch))).toEqual(
      fixtureRows(50, 3).map(({ text, n }) => ({ text, n })),
    )
    await expect(read(view, { columns: ['nope'] })).rejects.toMatchObject({
      code: 'argument_invalid',
    })
  })

  test.each(['timestamp[s]', 'timestamp[us]', 'timestamp[ns]'] as const)(
    'cuts %s times exactly',
    async (type) => {
      const fixture = await ArchiveFixture.create()
      const log = await fixture.addLog('l', { at: type })
      const perMs = { 'timestamp[s]': 0n, 'timestamp[us]': 1000n, 'timestamp[ns]': 1_000_000n }[
        type
      ]
      const at = (ms: number, more: bigint): unknown =>
        perMs === 0n ? new Date(ms) : BigInt(ms) * perMs + more
      const rows = [
        at(5000, 0n),
        at(4000, -1n),
        null,
        at(6000, 0n),
        at(5000, -1n),
        at(5000, 1n),
      ].map((value) => ({ at: value }))
      await fixture.addSegment(log, 0, 0, rows)
      const [view] = (await openArchive(fixture.store)).views()
      const got = offsets(await read(view ?? expect.unreachable(), { since: 5000, until: 6000 }))
      expect(got).toEqual(perMs === 0n ? [0, 4, 5] : [0, 5])
      expect(offsets(await read(view ?? expect.unreachable(), { until: 99_000 }))).toEqual([
        0, 1, 3, 4, 5,
      ])
    },
  )

  test('brings older schemas to the newest', async () => {
    const fixture = await ArchiveFixture.create()
    const log = await fixture.addLog('l', { at: 'timestamp[ms]', n: 'int32' })
    await fixture.addSegment(log, 0, 0, [{ at: new Date(1), n: 5 }])
    await fixture.addSchema(log, { at: 'timestamp[ms]', n: 'int64', more: 'utf8' })
    await fixture.addSegment(log, 0, 1, [{ at: new Date(2), n: 6, more: 'x' }])
    const [view] = (await openArchive(fixture.store)).views()
    const batches = await read(view ?? expect.unreachable())
    expect(batches.flatMap((batch) => batchToRows(batch))).toEqual([
      { at: new Date(1), n: 5, more: null },
      { at: new Date(2), n: 6, more: 'x' },
    ])
    expect(new Set(batches.map((batch) => batch.schema.id))).toEqual(new Set([1]))
  })

  test('goes from segments to memory without a gap', async () => {
    const { log, view } = await threeSegments()
    const hot = sampleBatch(log.schema, fixtureRows(300, 50), { baseOffset: 300 })
    const memory = cutBatch(hot, [20]).map((batch) => ({ tier: 'memory', batch }) as const)
    const [partition] = view.partitions
    if (partition === undefined) return expect.unreachable()
    const mixed = {
      ...view,
      partitions: [{ ...partition, endOffset: 350, sources: [...partition.sources, ...memory] }],
    }
    expect(offsets(await read(mixed, { from: 295 }))).toEqual(
      Array.from({ length: 55 }, (_, index) => 295 + index),
    )
    expect(
      offsets(await read(mixed, { since: 1_000_000 + 3190, until: 1_000_000 + 3210 })),
    ).toEqual([319, 320])
  })

  test('fetches the footer and the blocks that it needs, and nothing else', async () => {
    const fixture = await ArchiveFixture.create()
    const log = await fixture.addLog('l', { at: 'timestamp[ms]', noise: 'binary' })
    const noise = (seed: number): Uint8Array =>
      Uint8Array.from(
        { length: 1000 },
        (_, index) => ((seed * 7919 + index * index * 31) % 251) ^ ((index * seed) % 256),
      )
    const rows = Array.from({ length: 6000 }, (_, index) => ({
      at: new Date(index),
      noise: noise(index),
    }))
    const entry = await fixture.addSegment(log, 0, 0, rows)
    const ranges: number[] = []
    const get = fixture.store.get.bind(fixture.store)
    fixture.store.get = (key, options) => {
      if (options?.range !== undefined) ranges.push(options.range.end - options.range.start)
      return get(key, options)
    }
    const [view] = (await openArchive(fixture.store)).views()
    expect(entry.length).toBeGreaterThan(512 * 1024)
    expect(
      offsets(await read(view ?? expect.unreachable(), { from: 2900, to: 2905 })),
    ).toHaveLength(5)
    expect(ranges).toHaveLength(2)
    expect(ranges.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(entry.length / 2)
  })
})

describe('what is not there', () => {
  test('is a gap that fails the reading, is skipped, or is told', async () => {
    const fixture = await ArchiveFixture.create()
    const log = await fixture.addLog('l', FIXTURE_TYPES)
    await fixture.addSegment(log, 0, 10, fixtureRows(10, 10))
    await fixture.addSegment(log, 0, 30, fixtureRows(30, 10))
    const archive = await openArchive(fixture.store)
    const view = archive.view(archive.log('l'), [{ partition: 0, startOffset: 0, endOffset: 50 }])
    await expect(read(view)).rejects.toMatchObject({
      code: 'offset_gap',
      details: { from: 0, to: 10 },
    })
    expect(offsets(await read(view, { onGap: 'skip' }))).toHaveLength(20)
    const gaps: OffsetGap[] = []
    await read(view, { onGap: (gap) => gaps.push(gap), from: 5 })
    expect(gaps.map((gap) => [gap.from, gap.to])).toEqual([
      [5, 10],
      [20, 30],
      [40, 50],
    ])
  })

  test.each<
    [
      string,
      (fixture: ArchiveFixture, keys: readonly string[]) => Promise<unknown>,
      Partial<SegmentDamage>,
      number,
    ]
  >([
    [
      'a missing object',
      (f, [, key = '']) => f.store.remove(key),
      { kind: 'missing', from: 100, to: 200 },
      200,
    ],
    [
      'a truncated one',
      (f, [, key = '']) => f.damage(key, (bytes) => bytes.slice(0, -1)),
      { kind: 'truncated', from: 100, to: 200 },
      200,
    ],
    [
      'swapped ones',
      async (f, [, a = '', b = '']) => {
        const [bytesOfA, bytesOfB] = [await f.store.get(a), await f.store.get(b)]
        await f.damage(a, () => bytesOfB)
        await f.damage(b, () => bytesOfA)
      },
      { from: 100, to: 200 },
      100,
    ],
  ])('%s fails the reading, or is told and left out', async (_, plant, expected, left) => {
    const { fixture, view } = await threeSegments()
    const keys = (view.partitions[0]?.sources ?? []).map((source) =>
      source.tier === 'memory' ? '' : (source.segment.object?.object ?? ''),
    )
    await plant(fixture, keys)
    await expect(read(view)).rejects.toMatchObject({
      code: expect.stringMatching(/_corrupt$|_not_found$/) as string,
    })
    const damages: SegmentDamage[] = []
    const batches = await read(view, { onDamage: (_source, damage) => damages.push(damage) })
    expect(damages[0]).toMatchObject(expected)
    expect(offsets(batches)).toHaveLength(left)
  })

  test('a flipped bit costs one block, wherever it is', async () => {
    const { fixture, view } = await threeSegments()
    const source = view.partitions[0]?.sources[1]
    if (source === undefined || source.tier === 'memory') return expect.unreachable()
    const key = source.segment.object?.object ?? ''
    const sound = await fixture.store.get(key)
    for (let position = 0; position < sound.length; position += 37) {
      await fixture.damage(key, () => sound.with(position, (sound[position] ?? 0) ^ 0x10))
      const damages: SegmentDamage[] = []
      const batches = await read(view, { onDamage: (_, damage) => damages.push(damage) })
      const lost = damages.reduce((sum, damage) => sum + damage.to - damage.from, 0)
      expect(offsets(batches).length + lost, `position ${position}`).toBe(300)
      for (const batch of batches)
        expect(batchToRows(batch)).toEqual(fixtureRows(batch.baseOffset, batch.length))
    }
  })

  test('damage inside a segment of many blocks costs the records of its block', async () => {
    const fixture = await ArchiveFixture.create()
    const log = await fixture.addLog('l', { at: 'timestamp[ms]', noise: 'binary' })
    const noise = Uint8Array.from({ length: 100_000 }, (_, index) => (index * index * 31) % 251)
    const rows = Array.from({ length: 60 }, (_, index) => ({
      at: new Date(index),
      noise: noise.map((x) => x ^ index),
    }))
    const entry = await fixture.addSegment(log, 0, 0, rows)
    const half = Math.floor(entry.length / 2)
    await fixture.damage(entry.object?.object ?? '', (bytes) =>
      bytes.with(half, (bytes[half] ?? 0) ^ 4),
    )
    const [view] = (await openArchive(fixture.store)).views()
    const damages: SegmentDamage[] = []
    const batches = await read(view ?? expect.unreachable(), {
      onDamage: (_, damage) => damages.push(damage),
    })
    const [damage] = damages
    expect(damages).toHaveLength(1)
    expect((damage?.to ?? 0) - (damage?.from ?? 0)).toBeLessThan(30)
    const lost = (offset: number): boolean =>
      offset >= (damage?.from ?? 0) && offset < (damage?.to ?? 0)
    expect(offsets(batches)).toEqual(
      rows.map((_, offset) => offset).filter((offset) => !lost(offset)),
    )
    expect(damage?.position).toBeLessThanOrEqual(half)
  })

  test('an unavailable store is no damage', async () => {
    const { fixture, view } = await threeSegments()
    fixture.store.get = () => Promise.reject(new Error('no network'))
    await expect(read(view, { onDamage: () => {} })).rejects.toThrow('no network')
  })
})

test('an aborted reading ends', async () => {
  const { view } = await threeSegments()
  const controller = new AbortController()
  const reading = readPartition(view, 0, { signal: controller.signal })
  await reading.next()
  controller.abort()
  await expect(reading.next()).rejects.toMatchObject({ code: 'aborted' })
})
