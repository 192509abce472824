import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { quarantineOf } from '../../../src/engine/quarantine.ts'
import type { SegmentEntry } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { dropDiskCopies } from '../../../src/tiering/evict.ts'
import { flushPartition } from '../../../src/tiering/flush.ts'
import { retirePartition } from '../../../src/tiering/retire.ts'
import { type ScrubSettings, Scrubber } from '../../../src/tiering/scrubber.ts'
import type { ScrubReport } from '../../../src/tiering/scrub-report.ts'
import { uploadSegments } from '../../../src/tiering/upload.ts'
import { flipInBlock } from '../../support/archive-fixture.ts'
import { expectError } from '../../support/expect-error.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, DATA_DIR, eager, outline, tieringBench } from '../../support/tiering.ts'

const DAY = 86_400_000
const NEVER: ScrubSettings = { intervalMs: 0, bytesPerSecond: 1e9 }

interface Place {
  readonly bench: Bench
  readonly log: LiveLog
  readonly scrubber: Scrubber
}

/** A log with two segments of ten records, each on disk and in the archive, and nothing in RAM. */
async function filled(settings: ScrubSettings = NEVER): Promise<Place> {
  const bench = await tieringBench()
  await bench.files.makeDirectory(`${DATA_DIR}/quarantine`)
  const log = await bench.addLog({ policy: eager() })
  const partition = log.partition(0)
  for (const from of [0, 10]) {
    await appendRows(
      log,
      Array.from({ length: 10 }, (_, index) => ({ n: from + index })),
    )
    await flushPartition(bench.context, log, partition, 'disk')
  }
  await uploadSegments(bench.context, log, partition, [0, 10])
  partition.dropHot(20)
  bench.steps.length = 0
  const place = { dataDir: DATA_DIR, fileSystem: bench.files, logger: bench.logger }
  return { bench, log, scrubber: new Scrubber(bench.context, quarantineOf(place), settings) }
}

/** The segment that begins at `baseOffset`, and where its copies lie. */
function segmentOf(
  { log }: Place,
  baseOffset: number,
): { readonly segment: SegmentEntry; readonly file: string; readonly key: string } {
  const segment = log.partition(0).segments.startingAt(baseOffset)
  if (segment?.disk === undefined || segment.disk === null) throw new Error('it is on disk')
  return { segment, file: `${DATA_DIR}/${segment.disk.object}`, key: segment.object?.object ?? '' }
}

async function writeFile({ bench }: Place, path: string, bytes: Uint8Array): Promise<void> {
  await bench.files.remove(path)
  const file = await bench.files.create(path)
  await file.write(bytes)
  await file.close()
}

function scrub(
  { scrubber }: Place,
  repair = true,
  logIds: ReadonlySet<number> | null = null,
): Promise<ScrubReport> {
  return scrubber.scrub({ logIds, repair })
}

async function quarantined({ bench }: Place): Promise<readonly string[]> {
  return bench.files.list(`${DATA_DIR}/quarantine`)
}

const ways = {
  missing: null,
  truncated: (bytes: Uint8Array) => bytes.slice(0, bytes.length - 7),
  checksum: flipInBlock,
} as const
const kinds = Object.keys(ways) as (keyof typeof ways)[]

/** Damages a copy on one of the two tiers. */
async function damage(
  place: Place,
  tier: 'disk' | 'object',
  baseOffset: number,
  kind: keyof typeof ways,
): Promise<void> {
  const { file, key } = segmentOf(place, baseOffset)
  const { files, objects } = place.bench
  const change = ways[kind]
  if (tier === 'disk') {
    if (change === null) await files.remove(file)
    else await writeFile(place, file, change(await files.read(file)))
  } else if (change === null) await objects.remove(key)
  else await objects.put(key, change(await objects.get(key)))
}

describe('a scrub of everything', () => {
  test('finds nothing wrong with copies that are sound, and changes nothing', async () => {
    const place = await filled()
    const { segment } = segmentOf(place, 0)
    expect(await scrub(place)).toMatchObject({
      verdict: 'PASS',
      files: 4,
      problems: [],
      repaired: [],
    })
    expect((await scrub(place)).bytes).toBeGreaterThan(3 * segment.length)
    expect(outline(place.bench.steps)).toEqual(['object head segments'])
  })

  test.each(kinds)('repairs a disk copy that is %s from the archive', async (kind) => {
    const place = await filled()
    const { file, segment } = segmentOf(place, 10)
    await damage(place, 'disk', 10, kind)
    const damaged = kind === 'missing' ? null : await place.bench.files.read(file)
    const found = await scrub(place, false)
    expect(found).toMatchObject({
      verdict: 'FAIL',
      problems: [
        {
          where: file,
          tier: 'disk',
          kind,
          log: 'log-1',
          partition: 0,
          from: 10,
          to: 20,
          readable: true,
        },
      ],
    })
    place.bench.steps.length = 0
    const report = await scrub(place)
    expect(report).toMatchObject({
      verdict: 'PASS',
      problems: [],
      repaired: [{ where: file, kind }],
    })
    expect(await place.bench.files.read(file)).toHaveLength(segment.length)
    expect(outline(place.bench.steps).filter((step) => !step.startsWith('object head'))).toEqual([
      'object get segments',
      'disk create tmp',
      'disk write tmp',
      'disk sync tmp',
      'disk rename segments',
      'disk syncDirectory segments',
    ])
    const copies = await quarantined(place)
    expect(copies).toHaveLength(damaged === null ? 0 : 1)
    if (damaged !== null)
      expect(await place.bench.files.read(`${DATA_DIR}/quarantine/${copies[0]}`)).toEqual(damaged)
    expect(await scrub(place)).toMatchObject({ verdict: 'PASS', repaired: [] })
  })

  test.each(kinds)('repairs an object that is %s from the disk copy', async (kind) => {
    const place = await filled()
    const { key, segment } = segmentOf(place, 0)
    await damage(place, 'object', 0, kind)
    const report = await scrub(place)
    expect(report).toMatchObject({
      verdict: 'PASS',
      repaired: [{ where: `memory://archive/${key}`, tier: 'object', kind, from: 0, to: 10 }],
    })
    expect(await place.bench.objects.head(key)).toMatchObject({ sha256: segment.sha256 })
    expect(await quarantined(place)).toHaveLength(kind === 'missing' ? 0 : 1)
    expect(place.bench.metrics.value('stratalog_scrub_repaired_total', { tier: 'object' })).toBe(1)
    expect(place.bench.metrics.value('stratalog_scrub_damaged_copies', { tier: 'object' })).toBe(0)
  })

  test('reports what no copy has, with offsets, and repairs the rest', async () => {
    const place = await filled()
    await damage(place, 'disk', 0, 'checksum')
    await damage(place, 'object', 0, 'truncated')
    await damage(place, 'disk', 10, 'missing')
    const report = await scrub(place)
    expect(report.verdict).toBe('FAIL')
    expect(report.problems).toMatchObject([
      { tier: 'disk', kind: 'checksum', from: 0, to: 10, readable: false },
      { tier: 'object', kind: 'truncated', from: 0, to: 10, readable: false },
    ])
    expect(report.problems[0]?.reason).toContain('Not repaired: ')
    expect(report.repaired).toMatchObject([{ tier: 'disk', from: 10, to: 20 }])
    expect(place.scrubber.status).toMatchObject({ damagedCopies: 2, repairedCopies: 1 })
    expect(await quarantined(place)).toEqual([])
  })

  test('says of a record that it can be read while RAM holds it', async () => {
    const place = await filled()
    const { bench, log } = place
    await appendRows(log, [{ n: 20 }])
    await flushPartition(bench.context, log, log.partition(0), 'disk')
    await bench.files.remove(segmentOf(place, 20).file)
    expect((await scrub(place)).problems).toMatchObject([
      { kind: 'missing', from: 20, to: 21, readable: true },
    ])
    log.partition(0).dropHot(21)
    expect(place.scrubber.problems()).toMatchObject([{ readable: false }])
  })

  test('looks at the logs that are named only', async () => {
    const place = await filled()
    const other = await place.bench.addLog({ policy: eager() })
    await damage(place, 'disk', 0, 'missing')
    expect(await scrub(place, true, new Set([other.id]))).toMatchObject({
      verdict: 'PASS',
      files: 0,
    })
  })

  test('forgets a finding when its copy is named no more', async () => {
    const place = await filled()
    await damage(place, 'object', 0, 'missing')
    await scrub(place, false)
    expect(place.scrubber.problems()).toHaveLength(1)
    await retirePartition(place.bench.context, place.log, place.log.partition(0), 10)
    await place.bench.archive.commitStarts(place.log)
    expect(place.scrubber.status.damagedCopies).toBe(1)
    const { collectArchive } = await import('../../../src/tiering/collect.ts')
    place.bench.clock.advance(1)
    await collectArchive(place.bench.context, { grace: 0 })
    expect(place.scrubber.status.damagedCopies).toBe(0)
  })

  test('brings no file back that is dropped while it is repaired', async () => {
    const place = await filled()
    const { bench, log } = place
    const { file } = segmentOf(place, 0)
    await damage(place, 'disk', 0, 'checksum')
    const held = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    bench.fault = (step) => {
      if (!step.startsWith('disk create tmp')) return null
      reached.resolve()
      return held.promise
    }
    const scrubbing = scrub(place)
    await reached.promise
    bench.fault = () => null
    await dropDiskCopies(bench.context, log, log.partition(0), [0])
    held.resolve()
    expect(await scrubbing).toMatchObject({ verdict: 'PASS' })
    expect(await bench.files.stat(file)).toBeNull()
  })

  test('believes no damage that it sees once', async () => {
    const place = await filled()
    const { key } = segmentOf(place, 0)
    const { objects } = place.bench
    const heading = objects.head.bind(objects)
    let looks = 0
    objects.head = async (asked, options) =>
      asked === key && looks++ === 0 ? null : heading(asked, options)
    expect(await scrub(place)).toMatchObject({ verdict: 'PASS', repaired: [] })
    expect(looks).toBe(2)
  })

  test('never repairs from a copy that is not verified', async () => {
    const place = await filled()
    const { file } = segmentOf(place, 0)
    await damage(place, 'disk', 0, 'checksum')
    const before = await place.bench.files.read(file)
    const { objects } = place.bench
    const getting = objects.get.bind(objects)
    // Other bytes than those on disk, and wrong as well.
    objects.get = async (key, options) => new Uint8Array(await getting(key, options)).fill(7, 100)
    expect((await scrub(place)).problems).toMatchObject([{ tier: 'disk', kind: 'checksum' }])
    expect(await place.bench.files.read(file)).toEqual(before)
  })

  test('of an archive that is away is refused, and what was found on disk stays known', async () => {
    const place = await filled()
    await damage(place, 'disk', 0, 'missing')
    place.bench.fault = (step) => (step.startsWith('object ') ? 'store_unavailable' : null)
    await expectError(scrub(place), 'store_unavailable')
    expect(place.scrubber.problems()).toMatchObject([{ tier: 'disk', kind: 'missing', from: 0 }])
    place.bench.fault = () => null
    expect(await scrub(place)).toMatchObject({ verdict: 'PASS', repaired: [{ from: 0 }] })
  })

  test('that is aborted ends', async () => {
    const place = await filled()
    const stop = new AbortController()
    stop.abort()
    const scrubbing = place.scrubber.scrub({ logIds: null, repair: true, signal: stop.signal })
    await expectError(scrubbing, 'aborted')
  })
})

describe('in the background', () => {
  /** Moves the clock on in steps, and lets what is due run. */
  async function pass({ bench }: Place, ms: number): Promise<void> {
    const step = ms / 200
    for (let passed = 0; passed < ms; passed += step) {
      bench.clock.advance(step)
      for (let turn = 0; turn < 30; turn++) await Promise.resolve()
    }
  }

  test('a file that is gone is found and repaired within a seventh of the interval', async () => {
    const place = await filled({ intervalMs: 7 * DAY, bytesPerSecond: 1e9 })
    const { file, segment } = segmentOf(place, 10)
    place.scrubber.start()
    await damage(place, 'disk', 10, 'missing')
    await pass(place, 1.1 * DAY)
    expect(await place.bench.files.read(file)).toHaveLength(segment.length)
    expect(place.scrubber.status).toMatchObject({ repairedCopies: 1, damagedCopies: 0 })
    await place.scrubber.close()
  })

  test('bytes that rotted are found and repaired within the interval, not earlier', async () => {
    const place = await filled({ intervalMs: 7 * DAY, bytesPerSecond: 1e9 })
    place.scrubber.start()
    await damage(place, 'disk', 10, 'checksum')
    await pass(place, 1.1 * DAY)
    expect(place.scrubber.status.repairedCopies).toBe(0)
    await pass(place, 6.1 * DAY)
    expect(place.scrubber.status).toMatchObject({ repairedCopies: 1, damagedCopies: 0 })
    await place.scrubber.close()
  })

  test('an object costs eight HEADs in an interval, and nothing is listed', async () => {
    const place = await filled({ intervalMs: 7 * DAY, bytesPerSecond: 1e9 })
    place.scrubber.start()
    await pass(place, 7 * DAY)
    const heads = place.bench.steps.filter((step) => step.startsWith('object head segments/'))
    expect(heads.length).toBeGreaterThanOrEqual(14)
    expect(heads.length).toBeLessThanOrEqual(16)
    expect(outline(place.bench.steps)).toEqual(['object head segments'])
    await place.scrubber.close()
  })

  test('an archive that is away costs one attempt a minute, and is looked at when it is back', async () => {
    const place = await filled({ intervalMs: 7 * DAY, bytesPerSecond: 1e9 })
    place.scrubber.start()
    await damage(place, 'object', 0, 'missing')
    place.bench.fault = (step) => (step.startsWith('object ') ? 'store_unavailable' : null)
    await pass(place, DAY)
    expect(place.scrubber.status.lastError).toContain('planted')
    expect(place.bench.logger.entries.filter(({ level }) => level === 'warn')).toHaveLength(1)
    place.bench.fault = () => null
    await pass(place, 0.2 * DAY)
    expect(place.scrubber.status).toMatchObject({ lastError: null, repairedCopies: 1 })
    await place.scrubber.close()
  })

  test('with an interval of 0 nothing is looked at', async () => {
    const place = await filled(NEVER)
    place.scrubber.start()
    await pass(place, 30 * DAY)
    expect(place.scrubber.status.checkedCopies).toBe(0)
  })

  test('what is read keeps to the rate, and closing does not wait for it', async () => {
    const place = await filled({ intervalMs: 1_000, bytesPerSecond: 1 })
    place.scrubber.start()
    await pass(place, 5_000)
    const { checkedBytes } = place.scrubber.status
    expect(checkedBytes).toBe(0)
    await place.scrubber.close()
    await expectError(scrub(place), 'engine_closed')
  })

  test('an error that nobody expects is said and not thrown', async () => {
    const place = await filled({ intervalMs: DAY, bytesPerSecond: 1e9 })
    const { objects } = place.bench
    objects.head = () => Promise.reject(new StratalogError('internal', 'odd'))
    place.scrubber.start()
    await pass(place, DAY)
    expect(place.scrubber.status.lastError).toBe('odd')
    await place.scrubber.close()
  })
})
